"""A live bot on the simulator's live account, and a TradingBot that grants it or no longer does."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from builders import SUBJECT, a_live_config
from simulation.world import Points, World
from tradingbot_runtime.core import events as seen

STILL_OPEN = {"new", "accepted", "pending_new", "partially_filled"}
GONE = seen.GrantSeen(granted=False, why="status.grant is absent")
QUARTER = timedelta(minutes=15)


class LiveWorld(World):
    """A live bot whose control plane says `grant`, to every process that starts."""

    def __init__(self, volume: Path, points: Points | None = None, epoch: int = 1, **config: Any) -> None:
        self.grant = seen.GrantSeen(granted=True)
        live = a_live_config(epoch=epoch)
        defaults: dict[str, Any] = {
            "mode": "live",
            "grant": {"subjectDigest": SUBJECT, "epoch": epoch},
            "broker": live.broker.model_dump(mode="json", by_alias=True),
        }
        super().__init__(volume, 7, points, **(defaults | config))

    async def begin(self) -> None:
        await self.bot.tell(self.grant)
        await super().begin()

    async def say(self, grant: seen.GrantSeen) -> None:
        """The TradingBot says something else from now on."""
        self.grant = grant
        await self.tell(grant)

    async def steps(self, number: int, every: timedelta = QUARTER) -> None:
        for _ in range(number):
            await self.step(every)

    @property
    def still_open(self) -> list[dict[str, Any]]:
        return [order for order in self.orders if order["status"] in STILL_OPEN]

    @property
    def bought(self) -> set[str]:
        return {order["client_order_id"] for order in self.orders if order["side"] == "buy"}

    @property
    def value(self) -> Decimal:
        """What is held, at the simulator's own last prices."""
        prices = self.engine._known.prices
        return sum((qty * prices[symbol] for symbol, qty in self.held.items()), Decimal(0))
