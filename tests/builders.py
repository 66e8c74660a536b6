"""One language for the whole suite: a bot's config, an order, a bar, a broker's word. Defaults are a healthy bot."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from tradingbot_api import RuntimeConfig
from tradingbot_runtime.core.commands import Command, Evaluate
from tradingbot_runtime.core.engine import Engine
from tradingbot_runtime.core.events import Event, TargetsComputed, TargetsFailed
from tradingbot_runtime.core.orders import Order, OrderState, client_order_id
from tradingbot_runtime.core.values import (
    BrokerFigures,
    BrokerOrder,
    BrokerPosition,
    BrokerSnapshot,
    MarketClock,
    Now,
    OrderType,
    Side,
    TimeInForce,
)
from tradingbot_runtime.strategies.evaluation import StrategyFailed, weights_of

UID = "11111111-2222-3333-4444-555555555555"
SUBJECT = "5" * 64
"""Digest of what a live bot's grant is about."""
OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
"""A Monday's open in New York."""


def at(seconds: float = 0, market_minutes: float = 0) -> Now:
    """A moment: seconds of machine time after the start, minutes of market time after the open."""
    return Now(
        machine=datetime(2026, 11, 21, 9, 0, tzinfo=UTC) + timedelta(seconds=seconds),
        market=OPEN + timedelta(minutes=market_minutes),
    )


def a_config(**changes: Any) -> RuntimeConfig:
    """The config of a paper bot on AAPL and MSFT with five-minute bars; `changes` by their names in YAML."""
    document: dict[str, Any] = {
        "bot": {"namespace": "demo", "name": "momentum", "uid": UID},
        "strategy": {"name": "momentum", "parameters": {"lookback": 2}},
        "symbols": ["AAPL", "MSFT"],
        "timeframe": "5Min",
        "capital": "10000",
        "broker": {
            "account": "paper",
            "provider": "simulator",
            "environment": "paper",
            "baseURL": "http://127.0.0.1:1",
            "dataURL": "http://127.0.0.1:1",
        },
    }
    return RuntimeConfig.model_validate(document | changes)


def a_live_config(*, epoch: int = 1, **changes: Any) -> RuntimeConfig:
    """The config of the same bot, live under a grant."""
    broker = a_config().broker.model_dump(mode="json", by_alias=True)
    live = {
        "mode": "live",
        "grant": {"subjectDigest": SUBJECT, "epoch": epoch},
        "broker": broker | {"account": "live", "environment": "live"},
    }
    return a_config(**(live | changes))


def an_order(sequence: int = 1, **changes: Any) -> Order:
    """A journaled limit order to buy 10 AAPL at 100."""
    fields: dict[str, Any] = {
        "client_order_id": client_order_id(UID, "paper", 0, sequence),
        "symbol": "AAPL",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "qty": Decimal(10),
        "time_in_force": TimeInForce.DAY,
        "state": OrderState.JOURNALED,
        "created_at": OPEN,
        "limit_price": Decimal(100),
        "arrival_price": Decimal(100),
    }
    return Order(**(fields | changes))


def a_word(order: Order, status: str, filled: str = "0", price: str | None = None, **changes: Any) -> BrokerOrder:
    """What the broker says of an order."""
    fields: dict[str, Any] = {
        "broker_id": f"broker-{order.client_order_id[-8:]}",
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type.value,
        "status": status,
        "qty": order.qty,
        "filled_qty": Decimal(filled),
        "filled_average_price": Decimal(price) if price else None,
        "limit_price": order.limit_price,
        "created_at": order.created_at,
    }
    return BrokerOrder(**(fields | changes))


def figures(cash: str = "100000", blocked: bool = False) -> BrokerFigures:
    """An account with this much cash and nothing else."""
    return BrokerFigures(
        equity=Decimal(cash), last_equity=Decimal(cash), cash=Decimal(cash), buying_power=Decimal(cash), blocked=blocked
    )


def a_position(symbol: str, qty: str, price: str = "100") -> BrokerPosition:
    """A position at the broker."""
    return BrokerPosition(symbol, Decimal(qty), Decimal(price))


def a_snapshot(
    positions: Sequence[BrokerPosition] = (), orders: Sequence[BrokerOrder] = (), cash: str = "100000"
) -> BrokerSnapshot:
    """The broker's books."""
    return BrokerSnapshot(figures(cash), tuple(positions), tuple(orders))


def a_clock(market_minutes: float = 0, is_open: bool = True) -> MarketClock:
    """The broker's clock, minutes after the open."""
    now = OPEN + timedelta(minutes=market_minutes)
    return MarketClock(now, is_open, OPEN + timedelta(days=1), OPEN + timedelta(hours=6.5))


def bars(closes: Mapping[str, Sequence[float]], until: datetime = OPEN) -> dict[str, pd.DataFrame]:
    """Five-minute bars that end at `until`, flat but for their closes."""
    return {symbol: _frame(prices, until) for symbol, prices in closes.items()}


def _frame(prices: Sequence[float], until: datetime) -> pd.DataFrame:
    index = pd.date_range(end=until - timedelta(minutes=5), periods=len(prices), freq="5min", tz="UTC")
    column = pd.Series(list(prices), index=index, dtype=float)
    return pd.DataFrame({"open": column, "high": column, "low": column, "close": column, "volume": 1000.0})


def evaluated(engine: Engine, commands: list[Command], now: Now) -> list[Command]:
    """The commands, with what came of the strategy where they ask for it."""
    after: list[Command] = []
    for command in commands:
        if isinstance(command, Evaluate):
            try:
                answer: Event = TargetsComputed(command.bar, weights_of(engine.strategy, command.frames))
            except StrategyFailed as error:
                answer = TargetsFailed(command.bar, str(error))
            after += engine.handle(answer, now)
    return [*(command for command in commands if not isinstance(command, Evaluate)), *after]
