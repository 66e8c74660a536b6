"""Puts a simulator together from its configuration: calendar, market, exchange, clock, REST.

The machine's clocks come in here and nowhere deeper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from alpaca_simulator.api.rest import RestApi
from alpaca_simulator.config import ClockConfig, SimulatorConfig
from alpaca_simulator.exchange.accounts import AccountLimits, AccountTerms
from alpaca_simulator.exchange.exchange import Exchange, ExchangeRules, TradeUpdate
from alpaca_simulator.market.assets import DEFAULT_CATALOGUE, Asset, AssetCatalogue
from alpaca_simulator.market.calendar import TradingCalendar, new_york_stock_exchange
from alpaca_simulator.market.clock import MarketClock, RealClock, ScaledClock, SteppedClock
from alpaca_simulator.market.prices import Market


@dataclass(frozen=True)
class MachineTime:
    """The machine's clocks: `unix_seconds` for real time, `monotonic_seconds` for scaled time."""

    unix_seconds: Callable[[], float] = time.time
    monotonic_seconds: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Simulator:
    """A whole simulator in this process: call `rest.handle`, `step`, take trade updates."""

    config: SimulatorConfig
    clock: MarketClock
    exchange: Exchange
    rest: RestApi

    def step(self, by: timedelta) -> datetime:
        """Move a stepped clock forward by `by` and the exchange with it; raises TypeError for another clock."""
        if not isinstance(self.clock, SteppedClock):
            raise TypeError(f"the clock is {self.clock.mode}: only a stepped one can be stepped")
        self.clock.step(by)
        self.rest.catch_up()
        return self.clock.now()

    def take_trade_updates(self) -> list[TradeUpdate]:
        """What happened to orders up to the clock's time since the last call, in order."""
        self.rest.catch_up()
        return self.rest.take_updates()


def build_simulator(config: SimulatorConfig | None = None, machine: MachineTime | None = None) -> Simulator:
    """A simulator as configured; raises OutsideCalendarError when its start is not in the calendar."""
    config = config or SimulatorConfig()
    calendar = new_york_stock_exchange()
    clock = _clock(config.clock, calendar, machine or MachineTime())
    exchange = Exchange(
        Market(config.seed, calendar),
        _catalogue(config),
        [
            AccountTerms(one.name, one.kind, one.key_id, one.secret_key.get_secret_value(), one.cash)
            for one in config.accounts
        ],
        clock.now(),
        limits=AccountLimits(
            orders_kept=config.limits.orders_kept,
            open_orders=config.limits.open_orders,
            orders_ever=config.limits.orders_ever,
            requests_kept=config.limits.requests_kept,
        ),
        rules=ExchangeRules(partial_fill_probability=config.partial_fill_probability),
    )
    return Simulator(config, clock, exchange, RestApi(exchange, clock))


def stepped(start: datetime, seed: int = 1) -> Simulator:
    """A simulator with the demo accounts whose clock stands at `start` until it is stepped."""
    clock = ClockConfig(mode="stepped", start=start.astimezone(UTC))
    return build_simulator(SimulatorConfig(seed=seed, clock=clock))


def _clock(config: ClockConfig, calendar: TradingCalendar, machine: MachineTime) -> MarketClock:
    match config.mode:
        case "real":
            return RealClock(machine.unix_seconds)
        case "stepped":
            return SteppedClock(config.start)
        case "scaled":
            return ScaledClock(
                calendar,
                machine.monotonic_seconds,
                start=config.start,
                speed=config.speed,
                skip_closed=config.skip_closed,
                before_open=timedelta(minutes=config.minutes_before_open),
                after_close=timedelta(minutes=config.minutes_after_close),
            )


def _catalogue(config: SimulatorConfig) -> AssetCatalogue:
    return DEFAULT_CATALOGUE.with_more(
        tuple(
            Asset(
                symbol=one.symbol,
                name=one.name or one.symbol,
                exchange=one.exchange,
                reference_cents=int(one.price * Decimal(100)),
                yearly_volatility=one.yearly_volatility,
                daily_volume=one.daily_volume,
                tradable=one.tradable,
                fractionable=one.fractionable,
            )
            for one in config.assets
        )
    )
