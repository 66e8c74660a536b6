"""Attestation: what another system, such as a CI, has observed of the code that a bot runs. Create-only."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.model import ApiModel, ObjectName, cel


class AttestedItem(ApiModel):
    """One checklist item, as it was found."""

    name: ObjectName
    """The item's name in the gate."""
    passed: bool
    """Whether it is satisfied."""
    observed: Annotated[str, Field(min_length=1, max_length=512)]
    """What was seen: a figure, a version, a count."""
    link: Annotated[str, Field(max_length=512)] = ""
    """Where to look."""


class AttestationSpec(ApiModel):
    """Who attests what, of which code, to which gate."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self == oldSelf", "an attestation is never changed: write another, the newest counts")
            ]
        }
    )

    gate: ObjectName
    """The gate; the attester needs the verb `attest` on it."""
    attester: Annotated[str, Field(min_length=1, max_length=253)]
    """The user or ServiceAccount that creates this object; admission refuses any other name."""
    image_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
    """Digest of the image it is about: it counts only for bots that run this very image."""
    items: Annotated[
        list[AttestedItem],
        Field(
            min_length=1,
            max_length=100,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """What was found."""


class Attestation(ApiModel):
    """What another system has observed of the code."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: AttestationSpec
