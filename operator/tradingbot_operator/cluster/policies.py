"""Reads the admission policies that fence live trading, by name, and keeps the verdict on them as last read.

An API server that does not answer changes nothing: what was last read still stands. Must never write to a policy:
a fence that the fenced may move is none.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from typing import Final

import structlog

from tradingbot_operator.cluster.connection import (
    ApiError,
    Connection,
    NotFoundError,
    RefusedError,
    authorization,
)
from tradingbot_operator.cluster.resources import POLICIES
from tradingbot_operator.plan.conditions import Verdict
from tradingbot_operator.plan.objects import Raw
from tradingbot_operator.plan.policies import NOT_READ, SHIPPED, PolicyName, policy_enforced, unreadable

_LOG: Final = structlog.get_logger(__name__)


class PolicyReader:
    """Looks at the policies from time to time; `changed` is called when the verdict is another."""

    def __init__(self, connection: Connection, changed: Callable[[], None]) -> None:
        self._connection = connection
        self._changed = changed
        self.verdict: Verdict = NOT_READ

    async def run(self, interval_seconds: float) -> None:
        """Reads until cancelled."""
        while True:
            try:
                await self.read()
            except ApiError as error:
                _LOG.warning("cannot read the admission policies", error=error.message, code=error.code)
            await asyncio.sleep(interval_seconds)

    async def read(self) -> None:
        """Reads once. Raises ApiError where the API server cannot say."""
        try:
            found = {name: raw for name in SHIPPED if (raw := await self._find(name)) is not None}
        except RefusedError as error:
            verdict = unreadable(error.message)
        else:
            verdict = policy_enforced(found, user_of(await authorization(self._connection.configuration)))
        if verdict != self.verdict:
            self.verdict = verdict
            _LOG.info("admission policies", enforced=verdict.status.value, reason=verdict.reason)
            self._changed()

    async def _find(self, name: PolicyName) -> Raw | None:
        try:
            return await self._connection.get(POLICIES[name.kind], None, name.name)
        except NotFoundError:
            return None


def user_of(authorization_header: str) -> str:
    """The user that a ServiceAccount's token stands for, or an empty string where it is no such token.

    The token is our own and is only read, not verified: the API server does that.
    """
    payload = authorization_header.removeprefix("Bearer ").split(".")[1:2]
    try:
        claims = json.loads(base64.urlsafe_b64decode("".join(payload) + "=="))
    except (ValueError, binascii.Error):
        return ""
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) else ""
