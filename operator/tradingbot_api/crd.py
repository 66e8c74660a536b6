"""Turns the models into CustomResourceDefinitions: `python -m tradingbot_api.crd crds/`.

A structural schema has no $ref, no anyOf with null and no title; defaults of objects are `{}` so that each
field's own default applies. Never edit the YAML: change the model and run `make generate`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel

from tradingbot_api.approval import ApprovalSpec
from tradingbot_api.attestation import AttestationSpec
from tradingbot_api.broker_account import BrokerAccountSpec, BrokerAccountStatus
from tradingbot_api.group import (
    CRD_VERSION,
    CRD_VERSION_LABEL,
    GROUP,
    MAX_ACCOUNT_NAME_LENGTH,
    MAX_BOT_NAME_LENGTH,
    MAX_GATE_NAME_LENGTH,
    VERSION,
)
from tradingbot_api.kill_record import KillRecordSpec, KillRecordStatus
from tradingbot_api.model import cel
from tradingbot_api.promotion_evidence import PromotionEvidenceSpec
from tradingbot_api.promotion_gate import PromotionGateSpec, PromotionGateStatus
from tradingbot_api.tradingbot import TradingBotSpec, TradingBotStatus
from tradingbot_api.validation_run import ValidationRunSpec, ValidationRunStatus

Schema = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Resource:
    """One custom resource: its names and models."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    """None for what is said once and never observed."""
    name_rules: tuple[dict[str, Any], ...]
    columns: tuple[Column, ...]


def _name_length(limit: int) -> dict[str, Any]:
    return cel(
        f"self.metadata.name.size() <= {limit} && !self.metadata.name.contains('.')",
        f"metadata.name: at most {limit} characters and no dots: other objects are named after it",
    )


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


RESOURCES: tuple[Resource, ...] = (
    Resource(
        kind="TradingBot",
        plural="tradingbots",
        short_names=("bot", "bots"),
        description="One strategy on one broker account, run as one pod: paper first, live when granted.",
        spec=TradingBotSpec,
        status=TradingBotStatus,
        name_rules=(
            _name_length(MAX_BOT_NAME_LENGTH),
            cel(
                "self.metadata.name.matches('^[a-z]')",
                "metadata.name: begin with a letter: a Service is named after it",
            ),
            cel(
                "!has(oldSelf.status) || !has(oldSelf.status.effectiveMode) || oldSelf.status.effectiveMode != 'live'"
                " || (has(self.spec.accounts.live) == has(oldSelf.spec.accounts.live)"
                " && (!has(self.spec.accounts.live) || self.spec.accounts.live == oldSelf.spec.accounts.live))",
                "spec.accounts.live cannot be changed while the bot is live: its positions are on that account;"
                " set spec.mode: paper first",
            ),
        ),
        columns=(
            Column("Requested", ".spec.mode", description="The mode that spec asks for"),
            Column("Effective", ".status.effectiveMode", description="The mode the bot is in"),
            Column("State", ".status.tradingState", description="Active, Reducing (exits only) or Halted"),
            Column("Ready", _condition("Ready", "status"), description="Whether the bot is able to trade"),
            Column("Reason", _condition("Ready", "reason"), description="Why it is not ready, in one word"),
            Column("Verdict", ".status.promotion.verdict", description="What the gate says: GO, REVIEW or NO-GO"),
            Column("Sessions", ".status.promotion.sessions", "integer", description="Paper sessions that count"),
            Column("Orders", ".status.filledOrders", "integer", description="Orders filled"),
            Column("Killed", _condition("Killed", "status"), description="Whether a kill is in force"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Equity", ".status.account.equity", priority=1),
            Column("DayPnL", ".status.account.dayPnl", priority=1),
            Column("Gate", ".spec.gateRef.name", priority=1),
            Column("Score", ".status.promotion.score", "integer", priority=1, description="In basis points"),
            Column("Message", _condition("Ready", "message"), priority=1),
        ),
    ),
    Resource(
        kind="BrokerAccount",
        plural="brokeraccounts",
        short_names=("account", "accounts"),
        description="One account at a broker. Bots name it; it refers to the keys and never holds them.",
        spec=BrokerAccountSpec,
        status=BrokerAccountStatus,
        name_rules=(_name_length(MAX_ACCOUNT_NAME_LENGTH),),
        columns=(
            Column("Provider", ".spec.provider"),
            Column("Environment", ".spec.environment"),
            Column("Connected", _condition("Connected", "status"), description="As last reported by a bot"),
            Column("Killed", _condition("Killed", "status"), description="Whether the kill annotation is present"),
            Column("Bots", ".status.bots", description="Bots that use the account"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Endpoint", ".spec.baseURL", priority=1),
        ),
    ),
    Resource(
        kind="PromotionGate",
        plural="promotiongates",
        short_names=("gate", "gates"),
        description="What a bot has to show before it may trade real money: thresholds, reusable by many bots.",
        spec=PromotionGateSpec,
        status=PromotionGateStatus,
        name_rules=(_name_length(MAX_GATE_NAME_LENGTH),),
        columns=(
            Column("Sessions", ".spec.checks.paperSessions.minimum", "integer", description="Paper sessions asked for"),
            Column("Trades", ".spec.checks.paperTrades.minimum", "integer", description="Paper trades asked for"),
            Column("Bots", ".status.botCount", "integer", description="Bots that name the gate"),
            Column("Evaluated", _condition("Evaluated", "status"), description="Whether its verdicts are current"),
            Column("Summary", ".status.summary", description="The first few bots, and why they are not live"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Message", _condition("Evaluated", "message"), priority=1),
        ),
    ),
    Resource(
        kind="PromotionEvidence",
        plural="promotionevidences",
        short_names=("evidence",),
        description="One thing that was observed of a bot: a closed session, a drill. Written once, by the operator.",
        spec=PromotionEvidenceSpec,
        status=None,
        name_rules=(),
        columns=(
            Column("Type", ".spec.type", description="Session, Validation, Drill or Preflight"),
            Column("Bot", ".spec.botRef.name", description="The bot it is about"),
            Column("Session", ".spec.session.report.session", description="Date of the session in New York"),
            Column("Audit", ".spec.session.audit.result", description="What the broker's own record says of it"),
            Column("Trades", ".spec.session.report.filledOrders", "integer", description="Orders filled"),
            Column("PnL", ".spec.session.report.pnl", description="Profit or loss of the session"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Account", ".spec.account", priority=1),
            Column("Subject", ".spec.subjectDigest", priority=1),
        ),
    ),
    Resource(
        kind="Approval",
        plural="approvals",
        short_names=("approval",),
        description="A person's decision about a bot: to promote it, to release a kill. Create-only, under one's name.",
        spec=ApprovalSpec,
        status=None,
        name_rules=(),
        columns=(
            Column("Action", ".spec.action", description="What is decided"),
            Column("Bot", ".spec.botRef.name", description="The bot"),
            Column("Approver", ".spec.approver", description="Who decided"),
            Column("Verdict", ".spec.verdict", description="The verdict that is approved"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Reason", ".spec.reason", priority=1),
        ),
    ),
    Resource(
        kind="KillRecord",
        plural="killrecords",
        short_names=("kill",),
        description="One kill of a bot, written by the operator. It outlives the bot, until an Approval releases it.",
        spec=KillRecordSpec,
        status=KillRecordStatus,
        name_rules=(),
        columns=(
            Column("Bot", ".spec.botRef.name", description="The bot that was killed"),
            Column("Epoch", ".spec.epoch", "integer", description="Number of the kill"),
            Column("Mode", ".spec.mode", description="What the bot was: paper or live"),
            Column("Reason", ".spec.reason", description="The annotation's value"),
            Column("Cancelled", ".status.ordersCancelledAt", "date", description="The broker: no order is open"),
            Column("Flat", ".status.flatAt", "date", description="The broker: nothing is held"),
            Column("Released", ".status.releasedBy.approver", description="Who released it; empty while in force"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("By", ".status.confirmedBy", priority=1, description="Who asked the broker"),
            Column("Message", ".status.message", priority=1),
        ),
    ),
    Resource(
        kind="Attestation",
        plural="attestations",
        short_names=("attestation",),
        description="What another system, such as a CI, has observed of the code that a bot runs. Create-only.",
        spec=AttestationSpec,
        status=None,
        name_rules=(),
        columns=(
            Column("Gate", ".spec.gate", description="The gate it is made for"),
            Column("Attester", ".spec.attester", description="Who attests"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Image", ".spec.imageDigest", priority=1),
        ),
    ),
    Resource(
        kind="ValidationRun",
        plural="validationruns",
        short_names=("validation", "validations"),
        description="One validation of a bot's strategy: a Job whose result becomes evidence. Asked for by its author.",
        spec=ValidationRunSpec,
        status=ValidationRunStatus,
        name_rules=(),
        columns=(
            Column("Bot", ".spec.botRef.name", description="The bot whose strategy is validated"),
            Column("Complete", _condition("Complete", "status"), description="Whether there is evidence"),
            Column("Failed", _condition("Failed", "status"), description="Whether there will be none"),
            Column("Reason", _condition("Complete", "reason"), description="What it waits for, or how it ended"),
            Column("Evidence", ".status.evidence", description="The PromotionEvidence that came of it"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Job", ".status.job", priority=1),
            Column("Message", _condition("Complete", "message"), priority=1),
        ),
    ),
)


def custom_resource_definition(resource: Resource) -> Schema:
    """The CRD of one resource, ready for `kubectl apply`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{GROUP}",
            "labels": {CRD_VERSION_LABEL: str(CRD_VERSION)},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["trading"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {} if resource.status is None else {"status": {}},
                    "additionalPrinterColumns": [_printer_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": _root_schema(resource)},
                }
            ],
        },
    }


def _printer_column(column: Column) -> Schema:
    entry: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        entry["description"] = column.description
    if column.priority:
        entry["priority"] = column.priority
    return entry


def _root_schema(resource: Resource) -> Schema:
    status = {} if resource.status is None else {"status": structural_schema(resource.status)}
    # The API server drops an empty list: in Git it would be a difference for ever.
    rules = {"x-kubernetes-validations": list(resource.name_rules)} if resource.name_rules else {}
    return {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(resource.spec),
            **status,
        },
        **rules,
    }


def structural_schema(model: type[BaseModel]) -> Schema:
    """The model's schema as an API server wants it: no references, nullable fields simply optional."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    definitions = cast(Schema, schema.pop("$defs", {}))
    return _flatten(_optional_where_defaulted(schema, model), definitions)


def _optional_where_defaulted(schema: Schema, model: type[BaseModel]) -> Schema:
    # In serialization mode pydantic calls every field with a default required; a user may leave it out.
    return {
        **schema,
        "required": [name for name in schema.get("required", []) if not _has_default(schema, name)],
    }


def _has_default(schema: Schema, name: str) -> bool:
    return "default" in schema["properties"][name]


_DROPPED = frozenset({"title", "$defs", "additionalProperties", "const"})


def _flatten(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        # What stands beside the reference (description, default) is more specific than the definition.
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        return _flatten(_without_null(node), definitions)
    result: Schema = {key: value for key, value in node.items() if key not in _DROPPED}
    if node.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    if "properties" in node:
        result["properties"] = {name: _flatten(child, definitions) for name, child in node["properties"].items()}
        required = [name for name in node.get("required", []) if "default" not in node["properties"][name]]
        result.pop("required", None)
        if required:
            result["required"] = required
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _flatten(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _flatten(node["items"], definitions)
    if "exclusiveMinimum" in node:
        result["minimum"], result["exclusiveMinimum"] = node["exclusiveMinimum"], True
    if result.get("default", ...) is None:
        del result["default"]
    if isinstance(result.get("default"), dict):
        result["default"] = {}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    return result


def _without_null(node: Schema) -> Schema:
    choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if rest.get("x-kubernetes-int-or-string"):
        return rest
    if len(choices) != 1:
        raise ValueError(f"a structural schema has no anyOf: {node}")
    return {**choices[0], **rest}


def write(directory: Path) -> list[Path]:
    """Writes one file a resource and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    return [_write_one(directory, resource) for resource in RESOURCES]


class _PlainDumper(yaml.SafeDumper):
    """Writes what occurs twice twice: not every reader of a CRD follows YAML's aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_one(directory: Path, resource: Resource) -> Path:
    path = directory / f"{GROUP}_{resource.plural}.yaml"
    header = "# Generated by `make generate` from operator/tradingbot_api. Do not edit.\n"
    path.write_text(
        header + yaml.dump(custom_resource_definition(resource), Dumper=_PlainDumper, sort_keys=False, width=110)
    )
    return path


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
