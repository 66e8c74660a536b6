"""Creates what makes evidence, and evidence itself: each once, and never over something else.

Must never take an object that is there already for ours because of its name alone.
"""

from tradingbot_operator.cluster.connection import ConflictError, Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.metrics import EVIDENCE, EVIDENCE_JOBS
from tradingbot_operator.plan.evidence import KIND
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import Raw, entries, label, mapping, name_of, namespace_of, text
from tradingbot_operator.plan.producers import attempt_of, is_as_made
from tradingbot_operator.store import JOB


async def create_once(connection: Connection, manifest: Raw) -> Raw:
    """Creates an object, or reads the very same where somebody made it before. Raises ApiError: ConflictError where
    something else has its name.
    """
    resource = RESOURCES[text(manifest, "kind")]
    namespace, name = namespace_of(manifest), name_of(manifest)
    try:
        created = await connection.create(resource, namespace, manifest, manager=MANAGER)
    except ConflictError:
        there = await connection.get(resource, namespace, name)
        if not is_as_made(there, manifest):
            raise ConflictError(f"{resource.kind} {namespace}/{name} is there and is not what we make") from None
        return there
    _count(manifest)
    return created


def _count(manifest: Raw) -> None:
    if text(manifest, "kind") == KIND:
        EVIDENCE.labels(type=text(manifest, "spec", "type"), result=_result(manifest)).inc()
    elif text(manifest, "kind") == JOB:
        kind = label(manifest, "app.kubernetes.io/component")
        EVIDENCE_JOBS.labels(kind=kind, attempt="first" if attempt_of(manifest) == 1 else "again").inc()


def _result(evidence: Raw) -> str:
    checks = [check.get("passed") is True for check in entries(evidence, "spec", "preflight", "checks")]
    if checks:
        return "passed" if all(checks) else "failed"
    if validation := mapping(evidence, "spec", "validation"):
        # Whether it passes is for each gate to say.
        return "computed" if validation.get("causal") is True else "lookahead"
    return text(evidence, "spec", "session", "audit", "result") or "none"
