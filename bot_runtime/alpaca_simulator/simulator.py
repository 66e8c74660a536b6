"""Puts a simulator together from its configuration: calendar, market, exchange, clock, REST.

The machine's clocks come in here and nowhere deeper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from alpaca_simulator.api.rest import RestApi
from alpaca_simulator.config import ClockConfig, LimitsConfig, MarketDataStreamConfig, SimulatorConfig
from alpaca_simulator.exchange.accounts import AccountLimits, AccountTerms
from alpaca_simulator.exchange.exchange import Exchange, ExchangeRules, TradeUpdate
from alpaca_simulator.faults.director import Director
from alpaca_simulator.faults.scenario import planned, read_scenario
from alpaca_simulator.in_process import InProcessStream, open_trade_updates
from alpaca_simulator.market.calendar import TradingCalendar, new_york_stock_exchange
from alpaca_simulator.market.clock import MarketClock, RealClock, ScaledClock, SteppedClock
from alpaca_simulator.market_from_config import halts_of, market_and_catalogue
from alpaca_simulator.streams.hub import StreamHub
from alpaca_simulator.streams.market_data import UNLIMITED_PLAN, DataPlan, MarketDataStreams
from alpaca_simulator.streams.market_data_feed import MarketDataFeed


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
    market_data: MarketDataStreams
    streams: StreamHub

    def step(self, by: timedelta) -> datetime:
        """Move a stepped clock forward by `by` and the exchange with it; raises TypeError for another clock."""
        if not isinstance(self.clock, SteppedClock):
            raise TypeError(f"the clock is {self.clock.mode}: only a stepped one can be stepped")
        self.clock.step(by)
        self.rest.catch_up()
        return self.clock.now()

    def take_trade_updates(self) -> list[TradeUpdate]:
        """What is told of orders up to the clock's time since the last call, in order but for faults in force."""
        self.rest.catch_up()
        return self.rest.take_updates()

    def open_stream(self, key_id: str, secret_key: str) -> InProcessStream:
        """A client's connection to the trade updates in this process, with every fault that a socket's would have.

        Raises StreamRefusedError when a fault refuses it.
        """
        return open_trade_updates(self.rest, self.streams, key_id, secret_key)


def build_simulator(
    config: SimulatorConfig | None = None,
    machine: MachineTime | None = None,
    *,
    scenario_start: datetime | None = None,
) -> Simulator:
    """A simulator as configured; its scenario began at `scenario_start` when that was not now.

    Raises OutsideCalendarError when its start is not in the calendar, ConfigError when its market
    cannot be made: files that cannot be replayed, corporate actions on days without trading.
    ScenarioError when its scenario cannot be read.
    """
    config = config or SimulatorConfig()
    calendar = new_york_stock_exchange()
    machine = machine or MachineTime()
    clock = _clock(config.clock, calendar, machine)
    market, catalogue = market_and_catalogue(config, calendar)
    exchange = Exchange(
        market,
        catalogue,
        [
            AccountTerms(
                one.name,
                one.kind,
                one.key_id,
                one.secret_key.get_secret_value(),
                one.cash,
                one.margin_multiplier,
                one.shorting,
            )
            for one in config.accounts
        ],
        clock.now(),
        limits=AccountLimits(
            orders_kept=config.limits.orders_kept,
            open_orders=config.limits.open_orders,
            orders_ever=config.limits.orders_ever,
            requests_kept=config.limits.requests_kept,
        ),
        rules=ExchangeRules(partial_fill_probability=config.partial_fill_probability, **config.exchange.model_dump()),
        halts=halts_of(config),
    )
    rest = RestApi(
        exchange,
        clock,
        (lambda: clock.now().timestamp()) if clock.mode == "stepped" else machine.unix_seconds,
        requests_per_minute=config.limits.requests_per_minute,
        director=_director(config, calendar, exchange.now, scenario_start),
    )
    market_data = _market_data(config.market_data_stream, exchange, rest)
    streams = StreamHub(
        rest,
        market_data,
        sockets_at_most=config.limits.sockets,
        frames_waiting_at_most=config.limits.updates_per_socket,
    )
    return Simulator(config, clock, exchange, rest, market_data, streams)


def stepped(start: datetime, seed: int = 1, requests_per_minute: int = 0) -> Simulator:
    """A simulator with the demo accounts whose clock stands at `start` until it is stepped.

    Requests are not counted unless a limit is given.
    """
    clock = ClockConfig(mode="stepped", start=start.astimezone(UTC))
    limits = LimitsConfig(requests_per_minute=requests_per_minute)
    return build_simulator(SimulatorConfig(seed=seed, clock=clock, limits=limits))


def _market_data(config: MarketDataStreamConfig, exchange: Exchange, rest: RestApi) -> MarketDataStreams:
    plan = replace(UNLIMITED_PLAN if config.plan == "unlimited" else DataPlan(), connections=config.connections)
    feed = MarketDataFeed(exchange, rest.faults.market_data)
    return MarketDataStreams(feed, rest.faults.keys(rest.keys, "market_data").account, plan)


def _director(
    config: SimulatorConfig, calendar: TradingCalendar, now: datetime, scenario_start: datetime | None
) -> Director:
    if config.faults.scenario is None:
        return Director()
    scenario = read_scenario(config.faults.scenario)
    start = scenario_start or now
    return Director(scenario.name, planned(scenario, calendar, start), done_before=now if start < now else None)


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
