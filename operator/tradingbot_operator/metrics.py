"""The operator's own figures, as Prometheus counts them. Labels are bounded: never a bot's name."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_PREFIX = "tradingbot_operator"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)

API_CALLS: Final = Counter(f"{_PREFIX}_api_calls", "Requests to the API server", ["verb", "code"])
API_SECONDS: Final = Histogram(
    f"{_PREFIX}_api_seconds", "Time a request to the API server took", ["verb"], buckets=_SECONDS
)
RECONCILES: Final = Counter(f"{_PREFIX}_reconciles", "Objects looked at", ["kind", "result"])
RECONCILE_SECONDS: Final = Histogram(
    f"{_PREFIX}_reconcile_seconds", "Time it took to look at an object", ["kind"], buckets=_SECONDS
)
WATCH_EVENTS: Final = Counter(f"{_PREFIX}_watch_events", "Events seen by the watches", ["kind"])
SWEEPS: Final = Counter(f"{_PREFIX}_sweeps", "Full sweeps that ended")
SWEEP_REPAIRS: Final = Counter(
    f"{_PREFIX}_sweep_repairs", "Objects that a sweep found changed or gone without an event", ["kind"]
)
REPORTS: Final = Counter(f"{_PREFIX}_reports", "Reports asked of bots", ["result"])
QUEUE_LENGTH: Final = Gauge(f"{_PREFIX}_queue_length", "Objects waiting, now or later")
QUEUE_DUE: Final = Gauge(f"{_PREFIX}_queue_due", "Objects that could be looked at now")
OBJECTS: Final = Gauge(f"{_PREFIX}_objects", "Objects known", ["kind"])
BOTS: Final = Gauge(f"{_PREFIX}_bots", "Bots by mode and reason of their Ready condition", ["mode", "reason"])
LAST_SWEEP: Final = Gauge(f"{_PREFIX}_last_sweep_timestamp_seconds", "When the last full sweep ended")
