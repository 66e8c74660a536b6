"""Gathers what somebody needs who looks into a problem: objects, events, logs, versions, in one archive.

Never reads a Secret, and takes out of everything else what looks like one. What could not be read is listed with why.
"""

import io
import json
import platform
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

import yaml
from rich.console import Console

from kubectl_tradingbot.bots import Bot, every, find
from kubectl_tradingbot.errors import NotInstalledError, PluginError, UnreachableError
from kubectl_tradingbot.gate_view import gate_view
from kubectl_tradingbot.kubectl import Kubectl, Raw, Scope
from kubectl_tradingbot.redaction import redacted_object, redacted_text
from kubectl_tradingbot.status_view import Seen, status_view
from tradingbot_api import GROUP
from tradingbot_api.group import BOT_LABEL, CRD_VERSION, CRD_VERSION_LABEL

CHILDREN: Final = (
    "statefulsets.apps",
    "pods",
    "jobs.batch",
    "configmaps",
    "services",
    "persistentvolumeclaims",
    "networkpolicies.networking.k8s.io",
)
"""Kinds of what the operator makes for a bot, which carry its label. Secrets are not among them and never will be."""
MOST_OBJECTS: Final = 500
"""Of one kind; the newest."""
MOST_LOG_BYTES: Final = 4_000_000
_MOST_VIEWS: Final = 20
_OPERATOR: Final = "app.kubernetes.io/name=tradingbot-operator"


@dataclass
class Report:
    """Files by their names, and what could not be read."""

    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """Puts a file in."""
        self.files[name] = text.encode()

    def attempt(self, what: str, act: Callable[[], None]) -> None:
        """Does one part; where it cannot be read, that is noted, and the rest goes on."""
        try:
            act()
        except (UnreachableError, NotInstalledError):
            raise
        except PluginError as error:
            self.missing[what] = str(error)

    def archive(self, folder: str, at: datetime) -> bytes:
        """A .tar.gz of all of it, in one folder."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, content in sorted(self.files.items()):
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(at.timestamp()), 0o600
                tar.addfile(entry, io.BytesIO(content))
        return stream.getvalue()


def gather(kubectl: Kubectl, bot: str | None, *, operator_namespace: str, lines: int, now: datetime) -> Report:
    """All of it, of one bot or of all in the namespace. `lines`: of each log, the last so many."""
    report = Report()
    bots = [find(kubectl, bot)] if bot is not None else every(kubectl)
    names = {one.name for one in bots}
    operator = Kubectl(Scope(**{**vars(kubectl.scope), "namespace": operator_namespace}))
    report.attempt("versions", lambda: _versions(report, kubectl))
    for one in bots[:_MOST_VIEWS]:
        _views(report, one, now)
    for resource in _our_kinds(report, kubectl):
        report.attempt(resource, lambda resource=resource: _ours(report, kubectl, resource, bots))  # type: ignore[misc]
    label = f"{BOT_LABEL}={bot}" if bot is not None else BOT_LABEL
    for resource in CHILDREN:
        act = _children(report, kubectl, resource, label, f"bots/{resource}")
        report.attempt(resource, act)
    report.attempt("events", lambda: _events(report, kubectl, "events.yaml", names if bot is not None else None))
    _logs(report, kubectl, label, "logs", lines)
    for resource in ("deployments.apps", "pods"):
        report.attempt(
            f"operator's {resource}", _children(report, operator, resource, _OPERATOR, f"operator/{resource}")
        )
    report.attempt("operator's events", lambda: _events(report, operator, "operator/events.yaml", None))
    _logs(report, operator, _OPERATOR, "operator/logs", lines)
    report.add("CONTENTS.txt", contents(report, bots, now))
    return report


def contents(report: Report, bots: Sequence[Bot], now: datetime) -> str:
    """What is in it, what is not, and what to look at before it is sent on."""
    about = ", ".join(f"{bot.namespace}/{bot.name}" for bot in bots) or "no bot"
    inside = [f"  {name}  {len(content)} bytes" for name, content in sorted(report.files.items())]
    missing = [f"  {what}: {why}" for what, why in sorted(report.missing.items())] or ["  nothing"]
    return "\n".join(
        [
            f"Bug report of {about}, made at {now.strftime('%Y-%m-%dT%H:%M:%SZ')}",
            "",
            "In it: objects of tradingbots.dev, what the operator made for the bots, events, logs, versions.",
            "Not in it: Secrets, which were never read; values in environments; and wherever they would stand, what",
            "looks like a key, a token or a password, and the paths of addresses.",
            "Still in it: positions, orders, money, strategy parameters, names of people. Look through it before you",
            "send it on.",
            "",
            "Files:",
            *inside,
            "",
            "Could not be read:",
            *missing,
            "",
        ]
    )


def _versions(report: Report, kubectl: Kubectl) -> None:
    found: dict[str, Any] = {
        "plugin": version("tradingbot-operator"),
        "crdVersionOfThePlugin": CRD_VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    report.add("versions.json", json.dumps(found, indent=2))
    found["kubectl"] = json.loads(kubectl.run("version", "--output=json"))
    report.add("versions.json", json.dumps(found, indent=2))
    definitions = kubectl.list("customresourcedefinitions.apiextensions.k8s.io")
    found["customResourceDefinitions"] = {
        str(raw["metadata"]["name"]): raw["metadata"].get("labels", {}).get(CRD_VERSION_LABEL, "none")
        for raw in definitions
        if raw.get("spec", {}).get("group") == GROUP
    }
    report.add("versions.json", json.dumps(found, indent=2))


def _views(report: Report, bot: Bot, now: datetime) -> None:
    def shown() -> None:
        for name, view in (
            (
                "status",
                status_view(Seen(bot, no_sessions="see objects", no_events="see events.yaml"), now=now, wide=True),
            ),
            ("gate", gate_view(bot)),
        ):
            stream = io.StringIO()
            Console(file=stream, width=220, no_color=True, highlight=False).print(view)
            report.add(f"views/{bot.name}-{name}.txt", redacted_text(stream.getvalue()))

    report.attempt(f"views of {bot.name}", shown)


def _our_kinds(report: Report, kubectl: Kubectl) -> list[str]:
    """All kinds of the group that the API server knows, those of later releases included."""
    said = kubectl.run("api-resources", f"--api-group={GROUP}", "--namespaced", "--verbs=list", "--output=name")
    if not said.split():
        report.missing["objects"] = f"the API server knows no kind of {GROUP}"
    return said.split()


def _ours(report: Report, kubectl: Kubectl, resource: str, bots: Sequence[Bot]) -> None:
    mine = [raw for raw in kubectl.list(resource) if _is_about(raw, bots)]
    _put(report, f"objects/{resource.partition('.')[0]}", mine)


def _is_about(raw: Raw, bots: Sequence[Bot]) -> bool:
    """Whether an object of ours is one of the bots, is named by one, or is about one; where nobody can say, it is."""
    kind, name = raw.get("kind"), str(raw.get("metadata", {}).get("name", ""))
    spec = raw.get("spec", {})
    if kind == "TradingBot":
        return name in {bot.name for bot in bots}
    if kind == "BrokerAccount":
        return any(name in bot.accounts.values() for bot in bots)
    if kind in ("PromotionGate", "Attestation"):
        return (name if kind == "PromotionGate" else spec.get("gate")) in {bot.gate for bot in bots}
    about = spec.get("botRef")
    return not isinstance(about, Mapping) or about.get("name") in {bot.name for bot in bots}


def _children(report: Report, kubectl: Kubectl, resource: str, label: str, folder: str) -> Callable[[], None]:
    return lambda: _put(report, folder, kubectl.list(resource, f"--selector={label}"))


def _put(report: Report, folder: str, objects: Sequence[Raw]) -> None:
    newest = sorted(objects, key=lambda raw: str(raw.get("metadata", {}).get("creationTimestamp", "")), reverse=True)
    if len(newest) > MOST_OBJECTS:
        report.missing[folder] = f"only the newest {MOST_OBJECTS} of {len(newest)} are here"
    for raw in newest[:MOST_OBJECTS]:
        report.add(f"{folder}/{raw['metadata']['name']}.yaml", yaml.safe_dump(redacted_object(raw), sort_keys=False))


def _events(report: Report, kubectl: Kubectl, name: str, bots: set[str] | None) -> None:
    def is_about(raw: Raw) -> bool:
        about = str(raw.get("involvedObject", {}).get("name", ""))
        return bots is None or any(about == bot or about.startswith(f"{bot}-") for bot in bots)

    found = [redacted_object(raw) for raw in kubectl.list("events") if is_about(raw)][:MOST_OBJECTS]
    report.add(name, yaml.safe_dump(found, sort_keys=False))


def _logs(report: Report, kubectl: Kubectl, label: str, folder: str, lines: int) -> None:
    pods: list[Raw] = []
    report.attempt(f"pods for {folder}", lambda: pods.extend(kubectl.list("pods", f"--selector={label}")))
    for pod in pods[:_MOST_VIEWS]:
        name = str(pod["metadata"]["name"])
        for container, previous in _runs(pod):
            which = ["--previous"] if previous else []
            ending = ".previous" if previous else ""

            def read(
                name: str = name, container: str = container, which: list[str] = which, ending: str = ending
            ) -> None:
                limits = (f"--tail={lines}", f"--limit-bytes={MOST_LOG_BYTES}")
                said = kubectl.run("logs", name, f"--container={container}", *limits, *which)
                report.add(f"{folder}/{name}-{container}{ending}.log", redacted_text(said))

            report.attempt(f"log of {name} {container}{ending}", read)


def _runs(pod: Raw) -> Iterator[tuple[str, bool]]:
    """Each container, and whether it is its former run that is meant."""
    for one in pod.get("spec", {}).get("containers", []):
        yield str(one["name"]), False
    for one in pod.get("status", {}).get("containerStatuses", []):
        if one.get("restartCount"):
            yield str(one["name"]), True
