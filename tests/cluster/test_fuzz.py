"""Random specs: the way to a spec leaves nothing behind, and what cannot be run is said and can be taken back."""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, Json, Refused, eventually
from end_state import State, difference, normalised, objects_in
from hypothesis import strategies as st
from operator_process import OperatorProcess
from spec_strategies import Spec, detours, drawn, specs, spoilt_specs, symbols_of_its_own
from world import CHILDREN, World

EVERYWHERE = bool(os.environ.get("TRADINGBOT_FAULTS_EVERYWHERE"))
COUNT = 500 if EVERYWHERE else 60
_SECONDS = 900.0 if EVERYWHERE else 180.0
_AT_ONCE = 6


@pytest.fixture(scope="module", name="operator")
def operator_that_sweeps_seldom(operator: OperatorProcess, operator_kubeconfig: Path) -> Iterator[OperatorProcess]:
    """Thousands of objects that are listed each second would be most of the work here, and hide what no watch told."""
    operator.stop()
    process = OperatorProcess(operator_kubeconfig, operator_kubeconfig.parent / "fuzz.log", resync_seconds=60)
    process.start()
    yield process
    process.stop()
    operator.start()


@pytest.fixture
def worlds(api: ApiServer, operator: OperatorProcess) -> Iterator[Callable[[str], World]]:
    operator.ensure_running()
    made: list[str] = []

    def make(name: str) -> World:
        name = f"{name}-{uuid.uuid4().hex[:8]}"
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        made.append(name)
        eventually(lambda: api.exists("ServiceAccount", "default", name), "the namespace is set up")
        world = World(api, name)
        world.account("sim")
        world.account("spare")
        world.live_account("real")
        return world

    yield make
    for name in made:
        api.delete("Namespace", name)


def test_every_path_to_a_spec_ends_where_a_fresh_apply_does(
    worlds: Callable[[str], World], operator: OperatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = drawn(st.tuples(st.lists(detours(), min_size=1, max_size=3), specs()), COUNT)
    fresh, walked = worlds("fuzz-fresh"), worlds("fuzz-walked")
    last = {name_of(number): spec for number, (_, spec) in enumerate(paths)}
    check_that_none_is_refused(apply_all(fresh, last))
    for step in range(3):
        apply_all(walked, {name_of(n): detour[step] for n, (detour, _) in enumerate(paths) if step < len(detour)})
        # Some are gone through one by one, others follow so fast that the operator may see only the last.
        wait_until_looked_at(walked, (name_of(n) for n in range(COUNT) if n % 2))
    check_that_none_is_refused(apply_all(walked, last))
    for world in (fresh, walked):
        wait_until_looked_at(world, map(name_of, range(COUNT)))
    found: list[str] = []

    def is_the_same() -> bool:
        found[:] = [difference(children_of(fresh), children_of(walked))]
        return not found[0]

    try:
        eventually(is_the_same, "the same children", _SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{found[0]}") from None
    assert len(children_of(fresh)) == COUNT * len(CHILDREN)
    check_that_nothing_was_unforeseen(operator)
    with capsys.disabled():
        print(f"\n{COUNT} paths of {sum(len(detour) + 1 for detour, _ in paths)} specs", end=" ")


def test_what_cannot_run_is_refused_or_a_condition_and_can_be_taken_back(
    worlds: Callable[[str], World], operator: OperatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {name_of(number): spec for number, spec in enumerate(drawn(specs(), COUNT))}
    spoilt = drawn(spoilt_specs(), COUNT)
    world = worlds("fuzz-spoilt")
    check_that_none_is_refused(apply_all(world, good))
    wait_until_looked_at(world, good)
    before = settled(world)
    answers = apply_all(world, {name_of(number): spec for number, (_, spec) in enumerate(spoilt)})
    stored = [name for name, refusal in answers.items() if refusal is None]
    # 500: a field of another type, in server-side apply's words.
    assert {refusal.code for refusal in answers.values() if refusal is not None} <= {400, 422, 500}
    eventually(lambda: not unexplained(world, stored), "every spoilt spec is a condition", _SECONDS)
    check_that_none_is_refused(apply_all(world, good))
    wait_until_looked_at(world, good)
    eventually(lambda: not explained(world, good), "no condition is left", _SECONDS)
    found: list[str] = []

    def is_as_before() -> bool:
        found[:] = [difference(before, children_of(world))]
        return not found[0]

    try:
        eventually(is_as_before, "everything is as before", _SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{found[0]}") from None
    check_that_nothing_was_unforeseen(operator)
    with capsys.disabled():
        refused = len(answers) - len(stored)
        print(f"\n{COUNT} spoilt specs: {refused} refused, {len(stored)} a condition", end=" ")


def test_a_kill_is_told_whatever_its_reason_is_written_in(worlds: Callable[[str], World]) -> None:
    world = worlds("fuzz-kill")
    bot = world.bot("bot-0")
    world.wait_for_children(bot)
    for reason in ("\U0001f525 \u0085 \ufeff stop", "a\tb: {[#&*!|>'\"%@`", "\u2028\u0001"):
        annotation = {"metadata": {"annotations": {"tradingbots.dev/kill": reason}}}
        world.api.patch("TradingBot", bot, annotation, world.namespace)
        eventually(lambda reason=reason: reason in world.condition(bot, "Killed")["message"], f"killed: {reason!r}")


def name_of(number: int) -> str:
    return f"bot-{number}"


def apply_all(world: World, wanted: dict[str, Spec]) -> dict[str, Refused | None]:
    """Applies each bot's spec as it stands; who was refused, and why."""

    def apply(entry: tuple[str, Spec]) -> Refused | None:
        name, spec = entry
        number = int(name.rpartition("-")[2])
        with_symbols = symbols_of_its_own(spec, number) if is_list_of_text(spec.get("symbols")) else spec
        document: Json = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "TradingBot",
            "metadata": {"name": name},
            "spec": with_symbols,
        }
        try:
            world.api.apply(document, world.namespace)
        except Refused as refused:
            return refused
        return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(apply, wanted.items()), strict=True))


def check_that_none_is_refused(answers: dict[str, Refused | None]) -> None:
    assert not {name: str(refused) for name, refused in answers.items() if refused is not None}


def is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) and len(entry) == 1 for entry in value)


def bots_of(world: World) -> dict[str, Json]:
    return {bot["metadata"]["name"]: bot for bot in world.api.list("TradingBot", world.namespace)}


def wait_until_looked_at(world: World, names: Iterable[str]) -> None:
    wanted = set(names)

    def are_all() -> bool:
        return not {
            name
            for name, bot in bots_of(world).items()
            if name in wanted and bot.get("status", {}).get("observedGeneration") != bot["metadata"]["generation"]
        }

    eventually(are_all, f"the operator has looked at all bots in {world.namespace}", _SECONDS)


def children_of(world: World) -> State:
    """The bots' children; the bots only so that what names them can be told."""
    state = normalised(objects_in(world.api, world.namespace), world.namespace)
    return {title: child for title, child in state.items() if title.partition(" ")[0] in CHILDREN}


def settled(world: World) -> State:
    """The children once all are there."""
    found: list[State] = []

    def are_there() -> bool:
        found[:] = [children_of(world)]
        return len(found[0]) == COUNT * len(CHILDREN)

    try:
        eventually(are_there, "all children", _SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}: {explained(world, bots_of(world))}") from None
    return found[0]


def explained(world: World, names: Iterable[str]) -> dict[str, str]:
    """What the Ready condition of bots says whose spec cannot be carried out."""
    bots, reasons = bots_of(world), ("InvalidSpec", "ApplyRefused")
    return {
        name: entry["message"]
        for name in names
        for entry in bots[name].get("status", {}).get("conditions", [])
        if entry["type"] == "Ready" and entry["status"] == "False" and entry["reason"] in reasons and entry["message"]
    }


def unexplained(world: World, names: Iterable[str]) -> set[str]:
    return set(names) - explained(world, names).keys()


def check_that_nothing_was_unforeseen(operator: OperatorProcess) -> None:
    assert operator.metric("reconciles_total", result="error") == 0
