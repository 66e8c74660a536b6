"""What a bot left behind is removed; what is somebody else's is not."""

from typing import Any

import pytest

from tradingbot_operator.plan.names import labels
from tradingbot_operator.plan.objects import Raw
from tradingbot_operator.plan.orphans import orphans
from unit.operator.world import UID, a_bot, a_pod, plan, said


def a_child(kind: str = "ConfigMap", *, uid: str = "uid-of-another", **metadata: Any) -> Raw:
    return {
        "kind": kind,
        "metadata": {
            "name": "momentum-bot",
            "namespace": "demo",
            "uid": "uid-of-child",
            "labels": labels("momentum", "config"),
            "annotations": {"tradingbots.dev/bot-uid": uid},
            **metadata,
        },
    }


def test_what_has_lost_its_owner_and_its_bot_is_an_orphan() -> None:
    child = a_child()
    assert orphans([child], None) == (child,)
    assert orphans([child], a_bot()) == (child,)


OWNED = [{"kind": "TradingBot", "uid": "uid-of-another", "controller": True}]


@pytest.mark.parametrize(
    "child",
    [
        a_child(uid=UID),
        a_child(ownerReferences=OWNED),
        a_child(deletionTimestamp="2026-11-21T12:00:00Z"),
        a_child(labels={"tradingbots.dev/bot": "momentum"}),
        a_child(annotations={}),
        a_child("PersistentVolumeClaim"),
        a_child("Pod"),
        a_child("Secret"),
        a_pod(),
    ],
    ids=["its own", "owned", "going", "without our label", "a copy", "a volume", "a pod", "a secret", "a pod of ours"],
)
def test_what_is_left_alone(child: Raw) -> None:
    assert orphans([child], a_bot()) == ()


def test_a_namesakes_leftovers_make_room_for_the_bots_own() -> None:
    left = a_child()
    planned = plan(children={"ConfigMap": left})
    assert planned.remove == (left,)
    assert "ConfigMap" not in [entry.kind for entry in planned.apply]
    assert said(planned) == ("False", "NameTaken")
