"""What the watches tell of our own writes is no news, and nothing else that they tell is lost."""

from typing import Any

import pytest

from tradingbot_operator.observer import Observer
from tradingbot_operator.plan.objects import ObjectKey, Raw
from tradingbot_operator.queue import WorkQueue
from tradingbot_operator.store import BOT, Store
from unit.operator.world import a_bot, a_stateful_set

CHILD = ObjectKey("StatefulSet", "demo", "momentum-bot")
THE_BOT = ObjectKey(BOT, "demo", "momentum")


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.queue: WorkQueue[ObjectKey] = WorkQueue(lambda: 0.0)
        self.observer = Observer(self.store, self.queue)

    def tells(self, raw: Raw, event: str = "MODIFIED") -> None:
        self.observer.watched(raw["kind"], event, raw)

    def looks(self) -> list[ObjectKey]:
        found = []
        while (key := self.queue.pop()) is not None:
            found.append(key)
            self.queue.done(key)
        return found


@pytest.fixture
def world() -> World:
    return World()


def versioned(raw: Raw, version: int, **metadata: Any) -> Raw:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(version), **metadata}}


def child(version: int) -> Raw:
    return versioned({"kind": "StatefulSet", **a_stateful_set()}, version)


def bot(version: int, **metadata: Any) -> Raw:
    return versioned({"kind": BOT, **a_bot()}, version, **metadata)


def test_an_event_of_our_own_write_brings_no_look_whichever_comes_first(world: World) -> None:
    with world.observer.writing(CHILD):
        world.tells(child(5), "ADDED")
        world.store.put(CHILD.kind, child(5))
    world.tells(child(5), "ADDED")
    assert world.looks() == []


def test_what_somebody_else_wrote_meanwhile_brings_a_look(world: World) -> None:
    with world.observer.writing(CHILD):
        world.tells(child(5))
        world.tells(child(6))
        world.store.put(CHILD.kind, child(5))
        assert world.looks() == []
    assert world.looks() == [THE_BOT]
    assert world.store.version(CHILD) == "6"


def test_an_event_is_taken_in_where_the_write_failed(world: World) -> None:
    with pytest.raises(TimeoutError), world.observer.writing(CHILD):
        world.tells(child(5))
        raise TimeoutError
    assert world.looks() == [THE_BOT]
    assert world.store.version(CHILD) == "5"


def test_what_was_deleted_while_it_was_written_is_gone(world: World) -> None:
    with world.observer.writing(CHILD):
        world.tells(child(6), "DELETED")
        world.store.put(CHILD.kind, child(5))
    assert world.store.get(CHILD) is None
    assert world.looks() == [THE_BOT]


def test_other_objects_do_not_wait_for_a_write(world: World) -> None:
    with world.observer.writing(CHILD):
        world.tells(bot(5))
        assert THE_BOT in world.looks()


def test_a_kill_does_not_wait_for_a_write(world: World) -> None:
    world.store.put(BOT, bot(4))
    with world.observer.writing(THE_BOT):
        world.tells(bot(5, annotations={"tradingbots.dev/kill": "now"}))
        assert THE_BOT in world.looks()
        assert world.store.version(THE_BOT) == "5"


def test_only_so_many_events_wait(world: World) -> None:
    with world.observer.writing(CHILD):
        for version in range(1, 40):
            world.tells(child(version))
        assert world.store.version(CHILD) == "39"
    assert world.store.version(CHILD) == "39"
