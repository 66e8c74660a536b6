"""The operator's own figures, as Prometheus counts them. Labels are bounded: never a bot's name."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_PREFIX = "tradingbot_operator"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)

API_CALLS: Final = Counter(
    f"{_PREFIX}_api_calls", "Requests to the API server; code is error where none came", ["verb", "resource", "code"]
)
API_SECONDS: Final = Histogram(
    f"{_PREFIX}_api_seconds", "Time a request to the API server took", ["verb"], buckets=_SECONDS
)
RECONCILES: Final = Counter(f"{_PREFIX}_reconciles", "Objects looked at", ["kind", "result"])
RECONCILE_SECONDS: Final = Histogram(
    f"{_PREFIX}_reconcile_seconds", "Time it took to look at an object", ["kind"], buckets=_SECONDS
)
WRITE_WAIT_SECONDS: Final = Counter(
    f"{_PREFIX}_write_wait_seconds", "Time that writes waited for the budget or for a pause the API server asked for"
)
WRITES_FENCED: Final = Counter(
    f"{_PREFIX}_writes_fenced", "Writes that were not sent because the lease did not cover them"
)
LEADER: Final = Gauge(f"{_PREFIX}_leader", "1 where this replica may write, 0 where it stands by")
LEADER_CHANGES: Final = Counter(
    f"{_PREFIX}_leader_changes", "How often this replica began to lead or to stand by", ["to"]
)
WATCH_EVENTS: Final = Counter(f"{_PREFIX}_watch_events", "Events seen by the watches", ["kind"])
SWEEPS: Final = Counter(f"{_PREFIX}_sweeps", "Full sweeps that ended")
SWEEP_REPAIRS: Final = Counter(
    f"{_PREFIX}_sweep_repairs", "Objects that a sweep found changed or gone without an event", ["kind"]
)
REPORTS: Final = Counter(f"{_PREFIX}_reports", "Reports asked of bots", ["result"])
SESSION_ANSWERS: Final = Counter(f"{_PREFIX}_session_answers", "Closed sessions asked of bots", ["result"])
EVIDENCE: Final = Counter(
    f"{_PREFIX}_evidence",
    "PromotionEvidence written; for a session the result is the audit's, else passed, failed or none",
    ["type", "result"],
)
EVIDENCE_JOBS: Final = Counter(
    f"{_PREFIX}_evidence_jobs",
    "Jobs begun that make evidence; the attempt is first, or again where the one before came to no end",
    ["kind", "attempt"],
)
QUEUE_LENGTH: Final = Gauge(f"{_PREFIX}_queue_length", "Objects waiting, now or later")
QUEUE_WORKING: Final = Gauge(f"{_PREFIX}_queue_working", "Objects being looked at")
QUEUE_DUE: Final = Gauge(f"{_PREFIX}_queue_due", "Objects that could be looked at now")
OBJECTS: Final = Gauge(f"{_PREFIX}_objects", "Objects known", ["kind"])
BOTS: Final = Gauge(f"{_PREFIX}_bots", "Bots by effective mode and trading state", ["mode", "state"])
BOTS_READY: Final = Gauge(f"{_PREFIX}_bots_ready", "Bots by the status of their Ready condition", ["status"])
BOTS_JUDGED: Final = Gauge(f"{_PREFIX}_bots_judged", "Bots by the verdict of the gate they name", ["verdict"])
LIVE_GRANTS: Final = Gauge(f"{_PREFIX}_live_grants", "Bots whose status holds a grant to trade live")
KILLS: Final = Counter(f"{_PREFIX}_kills", "Kills recorded", ["scope", "mode"])
KILL_STEP_SECONDS: Final = Histogram(
    f"{_PREFIX}_kill_step_seconds",
    "Time from the operator's sight of a kill until a step of it was confirmed; by is Bot or FlattenJob",
    ["step", "by"],
    buckets=(0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0, 300.0, 3600.0),
)
KILL_AGE: Final = Gauge(
    f"{_PREFIX}_kill_age_seconds", "Seconds since the oldest kill that the broker has not confirmed; 0 without one"
)
LAST_SWEEP: Final = Gauge(f"{_PREFIX}_last_sweep_timestamp_seconds", "When the last full sweep ended")
