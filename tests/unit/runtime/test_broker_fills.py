"""Executions as the broker tells them: every page, each once, and an unreadable one is never left out in silence."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from broker_desk import Desk
from builders import OPEN
from tradingbot_runtime.broker import fills
from tradingbot_runtime.broker.port import BrokerUnavailable
from tradingbot_runtime.core.values import Side


def told(number: int, **changes: Any) -> dict[str, Any]:
    body = {
        "id": f"20260302150000{number:03d}::61e69015-8549-4bfd-b9c3-01e75843f47d",
        "activity_type": "FILL",
        "transaction_time": "2026-03-02T15:00:00.123456789Z",
        "type": "fill",
        "price": "100.25",
        "qty": "3.5",
        "side": "buy",
        "symbol": "AAPL",
        "leaves_qty": "0",
        "order_id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "cum_qty": "3.5",
    }
    return body | changes


async def test_an_execution_is_read_by_its_fields() -> None:
    desk = Desk((200, [told(1), told(2, side="sell_short", type="partial_fill")]))
    bought, sold = await desk.broker.fills(OPEN)
    assert (bought.symbol, bought.qty, bought.price, bought.completes) == (
        "AAPL",
        Decimal("3.5"),
        Decimal("100.25"),
        True,
    )
    assert bought.at == datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
    assert (sold.side, sold.signed_qty, sold.completes) == (Side.SELL, Decimal("-3.5"), False)
    asked = desk.wire.requests[0].url or ""
    assert "/account/activities/FILL?" in asked and "direction=asc" in asked


async def test_every_page_is_read_and_no_execution_twice() -> None:
    first, second = [told(number) for number in range(100)], [told(number) for number in range(99, 120)]
    desk = Desk((200, first), (200, second))
    assert len(await desk.broker.fills(OPEN)) == 120
    assert "page_token=20260302150000099" in (desk.wire.requests[1].url or "")


async def test_more_than_can_be_read_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills, "MAX_FILL_PAGES", 3)
    pages = [(200, [told(number + 100 * page) for number in range(100)]) for page in range(3)]
    with pytest.raises(BrokerUnavailable, match="a part is not taken for the whole"):
        await Desk(*pages).broker.fills(OPEN)


@pytest.mark.parametrize(
    "changes", [{"qty": "many"}, {"price": None}, {"order_id": ""}, {"transaction_time": "noon"}, {"side": None}]
)
async def test_an_execution_that_cannot_be_read_is_no_answer(changes: dict[str, Any]) -> None:
    with pytest.raises(BrokerUnavailable):
        await Desk((200, [told(1), told(2, **changes)])).broker.fills(OPEN)
