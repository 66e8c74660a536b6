"""Metrics in a registry of the bot's own. Labels come from fixed sets, so that their number is bounded."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tradingbot_api import RuntimeReport, TradingState
from tradingbot_runtime.broker.port import BrokerHealth

MAX_COUNTERS = 500
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_STEPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _EngineCounters(Collector):
    def __init__(self, counters: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "tradingbot_decisions", "What the engine did and refused, by kind.", labels=["kind", "what"]
        )
        for (kind, what), count in sorted(self._counters().items())[:MAX_COUNTERS]:
            family.add_metric([kind, what], count)
        yield family


class _BrokerFigures(Collector):
    def __init__(self, health: Callable[[], BrokerHealth]) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        health = self._health()
        left = GaugeMetricFamily("tradingbot_request_budget_left", "Requests left, by API.", labels=["api"])
        waits = CounterMetricFamily(
            "tradingbot_request_budget_waits", "Calls that waited for the budget.", labels=["api", "lane"]
        )
        refused = CounterMetricFamily(
            "tradingbot_too_many_requests", "Answers 429, by API and lane.", labels=["api", "lane"]
        )
        for api, budget in sorted(health.budgets.items()):
            if budget.left is not None:
                left.add_metric([api], budget.left)
            for lane, figures in sorted(budget.lanes.items()):
                waits.add_metric([api, lane], figures.waits)
                refused.add_metric([api, lane], figures.too_many_requests)
        silences = CounterMetricFamily("tradingbot_stream_silences", "Mute streams that were dropped.")
        silences.add_metric([], health.stream_silences)
        unreadable = CounterMetricFamily("tradingbot_stream_frames_unreadable", "Frames that could not be read.")
        unreadable.add_metric([], health.stream_frames_unreadable)
        keys = GaugeMetricFamily("tradingbot_keys_refused", "Whether the broker refuses the keys.")
        keys.add_metric([], float(bool(health.keys_refused)))
        yield from (left, waits, refused, silences, unreadable, keys)


class Metrics:
    """What is measured of one bot."""

    def __init__(
        self,
        counters: Callable[[], Mapping[tuple[str, str], int]],
        health: Callable[[], BrokerHealth] = BrokerHealth,
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_EngineCounters(counters))
        self.registry.register(_BrokerFigures(health))
        self.commit_seconds = Histogram(
            "tradingbot_journal_commit_seconds",
            "Time to make one decision durable.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            "tradingbot_broker_call_seconds",
            "Time of one call to the broker, retries included, by operation and outcome.",
            labelnames=["operation", "outcome"],
            buckets=_SLOW,
            registry=self.registry,
        )
        self.kill_step_seconds = Histogram(
            "tradingbot_kill_step_seconds",
            "Time from the bot's seeing a kill to a step of it, as the broker confirmed it.",
            labelnames=["step"],
            buckets=_STEPS,
            registry=self.registry,
        )
        self.events = Counter(
            "tradingbot_events", "Events handled, by type.", labelnames=["type"], registry=self.registry
        )
        self.notices = Counter(
            "tradingbot_notices", "Notices, by severity.", labelnames=["severity"], registry=self.registry
        )
        self.stream_reconnects = Counter(
            "tradingbot_stream_reconnects", "Trade update streams lost.", registry=self.registry
        )
        self.waiting_events = Gauge(
            "tradingbot_waiting_events", "Events that wait to be handled.", registry=self.registry
        )
        self._ready = Gauge("tradingbot_ready", "Whether the bot is ready.", registry=self.registry)
        self._killed = Gauge("tradingbot_killed", "Whether a kill is in force.", registry=self.registry)
        self._stream = Gauge("tradingbot_stream_connected", "Whether trade updates flow.", registry=self.registry)
        self._open = Gauge("tradingbot_open_orders", "Orders that are not terminal.", registry=self.registry)
        self._equity = Gauge("tradingbot_account_equity", "The account's equity.", registry=self.registry)
        self._cash = Gauge("tradingbot_account_cash", "The account's cash.", registry=self.registry)
        self._state = Gauge(
            "tradingbot_trading_state",
            "1 for the present trading state.",
            labelnames=["state"],
            registry=self.registry,
        )

    def rendered(self, report: RuntimeReport) -> bytes:
        """All metrics as text, with the gauges set to what the report says."""
        self._ready.set(report.ready)
        self._killed.set(report.kill is not None)
        self._stream.set(report.stream_connected)
        self._open.set(report.open_orders)
        for state in TradingState:
            self._state.labels(state.value).set(report.trading_state is state)
        if report.account is not None:
            self._equity.set(float(report.account.equity))
            self._cash.set(float(report.account.cash))
        return generate_latest(self.registry)
