"""Reads which version of our CustomResourceDefinitions the cluster has. Must never let a newer one pass unnoticed.

A newer schema has fields and defaults that this release cannot read: each stored spec would look invalid to it, and
what it cannot read it could not carry over either.
"""

from typing import Final

import structlog

from tradingbot_api import GROUP
from tradingbot_api.group import CRD_VERSION, CRD_VERSION_LABEL
from tradingbot_operator.cluster.connection import Connection, NotFoundError, RefusedError
from tradingbot_operator.cluster.resources import DEFINITIONS, OWN_KINDS, RESOURCES
from tradingbot_operator.plan.objects import Raw, label

_LOG = structlog.get_logger(__name__)
_APPLY: Final = "kubectl apply --server-side -k crds"


class CrdsTooNewError(Exception):
    """The cluster's CustomResourceDefinitions are of a later release than this operator."""


class CrdVersions:
    """Compares the cluster's CRDs with those this release was built with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told: dict[str, str] = {}

    async def check(self) -> None:
        """Raises CrdsTooNewError; says once what to apply where they are older. Raises ApiError if unavailable."""
        for kind in OWN_KINDS:
            name = f"{RESOURCES[kind].plural}.{GROUP}"
            try:
                found = await self._connection.get_metadata(DEFINITIONS, None, name)
            except NotFoundError:
                self._tell(name, f"{name} is not there: apply the CRDs of this release: {_APPLY}")
                continue
            except RefusedError as error:
                self._tell(
                    name, f"cannot see how new {name} is, apply the ClusterRole of this release: {error.message}"
                )
                continue
            self._judge(name, version_of(found))

    def _judge(self, name: str, version: int) -> None:
        if version > CRD_VERSION:
            raise CrdsTooNewError(
                f"{name} has version {version}, and this operator knows versions up to {CRD_VERSION}: run the operator"
                f" of the release that the CRDs came with, or apply the CRDs of this one: {_APPLY}"
            )
        if version < CRD_VERSION:
            old = f"{name} has version {version}, this operator was built with {CRD_VERSION}"
            self._tell(name, f"{old}: fields of this release are missing there until you apply them: {_APPLY}")
        else:
            self._told.pop(name, None)

    def _tell(self, name: str, message: str) -> None:
        if self._told.get(name) != message:
            self._told[name] = message
            _LOG.warning(message)


def version_of(definition: Raw) -> int:
    """The version in a CRD's label; 0 where there is none, as in the first release. What is no number is newer."""
    value = label(definition, CRD_VERSION_LABEL)
    if not value:
        return 0
    return int(value) if value.isdecimal() else CRD_VERSION + 1
