"""No control plane: a bot on a laptop that is stopped by ending its process."""

import asyncio
from collections.abc import AsyncGenerator

from tradingbot_runtime.control.port import ControlEvent


class NoControl:
    """Says nothing, for ever."""

    watched = False

    async def events(self) -> AsyncGenerator[ControlEvent, None]:
        """Nothing."""
        nothing: tuple[ControlEvent, ...] = ()
        await asyncio.Event().wait()
        for event in nothing:
            yield event
