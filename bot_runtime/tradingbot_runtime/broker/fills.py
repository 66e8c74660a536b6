"""Single executions out of Alpaca's account activities: what really happened, whoever ordered it. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

from tradingbot_runtime.broker.connection import Connection
from tradingbot_runtime.broker.fields import decimal_of, list_of, moment_of, object_of, text_of
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.core.values import Side

FILLS_A_PAGE: Final = 100
MAX_FILL_PAGES: Final = 200


@dataclass(frozen=True)
class BrokerFill:
    """One execution. `order_id` is the broker's id of its order; `at` is market time."""

    fill_id: str
    order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    at: datetime
    completes: bool
    """Whether nothing of its order was left to fill after it."""

    @property
    def signed_qty(self) -> Decimal:
        """Shares by which the holding changed."""
        return self.qty if self.side is Side.BUY else -self.qty


async def fills(on: Connection, after: datetime) -> tuple[BrokerFill, ...]:
    """Every execution of the account after a moment, oldest first.

    Raises BrokerUnavailable when there are more than can be read: half a list must not be taken for the whole.
    """
    fields: dict[str, Any] = {"after": after.isoformat(), "direction": "asc", "page_size": FILLS_A_PAGE}
    found: dict[str, BrokerFill] = {}
    for _ in range(MAX_FILL_PAGES):
        page, token = await on.read("fills", partial(_page, on, fields))
        found.update((fill.fill_id, fill) for fill in page)
        if token is None:
            return tuple(found.values())
        fields = {**fields, "page_token": token}
    raise BrokerUnavailable(
        f"fills: more than {MAX_FILL_PAGES} pages since {after.isoformat()}; a part is not taken for the whole:"
        " ask about a later session",
        may_pass=False,
    )


def fill_from(raw: object) -> BrokerFill:
    """An execution. Raises ValueError."""
    body = object_of(raw, "a fill")
    return BrokerFill(
        fill_id=text_of(body, "id"),
        order_id=text_of(body, "order_id"),
        symbol=text_of(body, "symbol"),
        # A short sale is told as sell_short.
        side=Side.BUY if text_of(body, "side") == "buy" else Side.SELL,
        qty=abs(decimal_of(body, "qty")),
        price=decimal_of(body, "price"),
        at=moment_of(body, "transaction_time"),
        completes=body.get("type") == "fill",
    )


def _page(on: Connection, fields: dict[str, Any]) -> tuple[list[BrokerFill], str | None]:
    """The executions of one page, and what to ask for the next by; None after the last."""
    raw = list_of(on.trading.get("/account/activities/FILL", dict(fields)))
    is_last = len(raw) < FILLS_A_PAGE
    return [fill_from(one) for one in raw], None if is_last else text_of(object_of(raw[-1], "a fill"), "id")
