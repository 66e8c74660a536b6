"""What Alpaca answers, as JSON, for tests of the adapters."""

from typing import Any

from builders import an_order

ORDER: dict[str, Any] = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "client_order_id": an_order().client_order_id,
    "created_at": "2026-03-02T14:35:00.123456789Z",
    "updated_at": "2026-03-02T14:35:00.123456789Z",
    "submitted_at": "2026-03-02T14:35:00.123456789Z",
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "qty": "10",
    "filled_qty": "0",
    "filled_avg_price": None,
    "order_class": "",
    "order_type": "limit",
    "type": "limit",
    "side": "buy",
    "time_in_force": "day",
    "limit_price": "100.10",
    "status": "pending_new",
    "extended_hours": False,
}
