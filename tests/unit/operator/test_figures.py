"""What Prometheus is told: counted from the store, with labels that are bounded, and described where users read."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tradingbot_operator import metrics
from tradingbot_operator.figures import collect, kill_age_seconds
from tradingbot_operator.plan.objects import ObjectKey
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.store import BOT, Store
from unit.operator.world import NOW, a_bot, stamp

PAGE = Path(__file__).parents[3] / "docs/operator.md"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tradingbot_operator_{name}", labels) or 0.0


def killed(reason: str, minutes: float = 2, **spec: Any) -> Any:
    since = stamp(NOW - timedelta(minutes=minutes))
    condition = {"type": "Killed", "status": "True", "reason": reason, "lastTransitionTime": since}
    return a_bot(status={"conditions": [condition]}, **spec)


def test_bots_are_counted_by_mode_and_state() -> None:
    store, queue = Store(), WorkQueue[ObjectKey](lambda: 0.0)
    ready = {"type": "Ready", "status": "True", "reason": "Trading"}
    statuses: list[Any] = [
        {"effectiveMode": "live", "tradingState": "Active", "grant": {"epoch": 1}, "conditions": [ready]},
        {"effectiveMode": "paper", "tradingState": "Halted"},
        {"effectiveMode": "anything", "tradingState": "that a user could have written"},
        None,
    ]
    for number, status in enumerate(statuses):
        store.put(BOT, a_bot(f"bot-{number}", status=status))
    queue.add(ObjectKey(BOT, "demo", "bot-0"))
    collect(store, queue, NOW)
    assert value("bots", mode="live", state="Active") == 1
    assert value("bots", mode="paper", state="Halted") == 1
    assert value("bots", mode="unknown", state="Unknown") == 2
    assert value("bots_ready", status="True") == 1
    assert (value("live_grants"), value("queue_length"), value("queue_due"), value("queue_working")) == (1, 1, 1, 0)
    collect(Store(), queue, NOW)
    assert value("bots", mode="live", state="Active") == 0


@pytest.mark.parametrize(
    ("reason", "on_kill", "seconds"),
    [
        ("KillRequested", "CancelOrders", 120),
        ("OrdersCancelled", "CancelOrders", 0),
        ("OrdersCancelled", "Flatten", 120),
        ("Flat", "Flatten", 0),
    ],
)
def test_a_kill_ages_until_the_broker_has_confirmed_it(reason: str, on_kill: str, seconds: float) -> None:
    assert kill_age_seconds(killed(reason, onKill=on_kill), NOW) == seconds


def test_bots_are_counted_by_verdict_and_nothing_that_a_user_could_have_written_becomes_a_label() -> None:
    store = Store()
    for number, verdict in enumerate(("GO", "NO-GO", "NO-GO", "anything", None)):
        status = {"promotion": {"verdict": verdict}} if verdict else {}
        store.put(BOT, a_bot(f"bot-{number}", status=status))
    collect(store, WorkQueue(lambda: 0.0), NOW)
    assert (value("bots_judged", verdict="GO"), value("bots_judged", verdict="NO-GO")) == (1, 2)
    assert REGISTRY.get_sample_value("tradingbot_operator_bots_judged", {"verdict": "anything"}) is None


def test_the_oldest_kill_counts() -> None:
    store = Store()
    store.put(BOT, killed("KillRequested", 1))
    elder = killed("KillRequested", 9)
    store.put(BOT, {**elder, "metadata": {**elder["metadata"], "name": "elder"}})
    collect(store, WorkQueue(lambda: 0.0), NOW)
    assert value("kill_age_seconds") == 540


def test_no_kill_has_no_age() -> None:
    assert kill_age_seconds(a_bot(), NOW) == 0
    assert kill_age_seconds(a_bot(status={"conditions": [{"type": "Killed", "status": "False"}]}), NOW) == 0


def test_the_page_names_every_metric_with_its_labels_and_no_other() -> None:
    described = {
        name: tuple(filter(None, labels.strip().split(", ")))
        for name, labels in re.findall(r"^\| `(tradingbot_operator_\w+)` \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    }
    known = {
        _exposed(metric): tuple(metric._labelnames)
        for metric in vars(metrics).values()
        if hasattr(metric, "_labelnames")
    }
    assert described == known


def test_every_metric_says_what_it_is() -> None:
    undescribed = [family.name for family in REGISTRY.collect() if not family.documentation]
    assert undescribed == []


def _exposed(metric: Any) -> str:
    return f"{metric._name}_total" if metric._type == "counter" else str(metric._name)
