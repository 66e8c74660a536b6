"""What a KillRecord says beyond the plan: who wrote the annotation, as only the API server knows, and its figures.

Must never hold a kill up: what cannot be read is left out.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import structlog

from tradingbot_api import KILL_ANNOTATION
from tradingbot_operator.cluster.connection import ApiError, Connection
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.metrics import KILL_STEP_SECONDS
from tradingbot_operator.plan.conditions import parse_timestamp
from tradingbot_operator.plan.killing import KillWrite
from tradingbot_operator.plan.objects import Raw, entries, mapping, text

_LOG = structlog.get_logger(__name__)
_ANNOTATION_FIELD: Final = f"f:{KILL_ANNOTATION}"
_STEPS: Final = {"acknowledgedAt": "acknowledged", "ordersCancelledAt": "ordersCancelled", "flatAt": "flat"}


async def with_requester(connection: Connection, namespace: str, write: KillWrite) -> dict[str, Any]:
    """The record to create, with who wrote the annotation and when, as metadata.managedFields has it."""
    manifest = write.create or {}
    if not write.annotated:
        return manifest
    try:
        annotated = await connection.get(RESOURCES[write.annotated], namespace, write.annotated_name)
    except ApiError as error:
        _LOG.log(logging.INFO, "who asked for the kill could not be read", error=error.message)
        return manifest
    return {**manifest, "spec": {**manifest["spec"], **_requester(annotated)}}


def _requester(annotated: Raw) -> dict[str, str]:
    for entry in entries(annotated, "metadata", "managedFields"):
        if _ANNOTATION_FIELD in mapping(entry, "fieldsV1", "f:metadata", "f:annotations"):
            found = {"requestedBy": text(entry, "manager")[:128], "requestedAt": text(entry, "time")}
            return {name: value for name, value in found.items() if value}
    return {}


def count_steps(record: Raw, status: Mapping[str, Any]) -> None:
    """Counts the steps that a record's new status confirms and its stored one did not."""
    seen = parse_timestamp(text(record, "spec", "observedAt"))
    for field, step in _STEPS.items():
        at = parse_timestamp(str(status.get(field, "")))
        if seen is not None and at is not None and not text(record, "status", field):
            by = str(status.get("confirmedBy", "Bot"))
            KILL_STEP_SECONDS.labels(step=step, by=by).observe(max((at - seen).total_seconds(), 0.0))
