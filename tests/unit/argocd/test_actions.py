"""Actions in Argo CD: each writes or removes one annotation, and none of them approves or releases anything."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.argocd.lua import act, actions, offered, run
from unit.operator.candidate import Candidate
from unit.operator.world import a_bot

KILL, PAUSE = "tradingbots.dev/kill", "tradingbots.dev/pause"


def enabled(bot: Any) -> set[str]:
    return {name for name, one in offered(bot).items() if not one["disabled"]}


def annotations(bot: Any) -> Any:
    return bot["metadata"]["annotations"]


def test_there_is_no_action_but_kill_pause_and_resume() -> None:
    assert [one["name"] for one in actions()["definitions"]] == ["kill", "pause", "resume"]
    assert set(offered(a_bot())) == {"kill", "pause", "resume"}


@pytest.mark.parametrize(
    ("bot", "makes_sense"),
    [
        (a_bot(), {"kill", "pause"}),
        (a_bot(annotations={PAUSE: ""}), {"kill", "resume"}),
        (a_bot(paused=True), {"kill"}),
        (a_bot(paused=True, annotations={PAUSE: ""}), {"kill"}),
        (a_bot(annotations={KILL: ""}), set()),
        (a_bot(annotations={KILL: "", PAUSE: ""}), {"resume"}),
        ({}, {"kill", "pause"}),
    ],
    ids=["as it is", "paused", "paused in Git", "paused in both", "killed", "killed and paused", "odd"],
)
def test_only_what_makes_sense_now_is_offered(bot: Any, makes_sense: set[str]) -> None:
    assert enabled(bot) == makes_sense


def test_a_kill_asks_for_its_reason() -> None:
    assert offered(a_bot())["kill"]["params"] == [{"name": "reason"}]
    assert annotations(act("kill", a_bot(), reason="bad feed")) == {KILL: "bad feed"}


def test_a_kill_needs_no_reason() -> None:
    assert annotations(act("kill", a_bot())) == {KILL: "killed from Argo CD"}
    assert annotations(act("kill", a_bot(), reason="")) == {KILL: "killed from Argo CD"}


def test_a_second_kill_keeps_the_first_ones_reason() -> None:
    assert annotations(act("kill", a_bot(annotations={KILL: ""}), reason="again")) == {KILL: ""}


def test_pause_and_resume_undo_each_other() -> None:
    paused = act("pause", a_bot(annotations={"team": "quant"}))
    assert annotations(paused) == {"team": "quant", PAUSE: "paused from Argo CD"}
    assert annotations(act("resume", paused)) == {"team": "quant"}


def test_a_resume_leaves_a_kill_where_it_is() -> None:
    assert annotations(act("resume", a_bot(annotations={KILL: "", PAUSE: ""}))) == {KILL: ""}


@pytest.mark.parametrize("name", ["kill", "pause", "resume"])
def test_nothing_but_the_annotations_changes(name: str) -> None:
    bot = Candidate().judged().bot
    before, after = act("resume", bot), act(name, bot)
    assert {**after, "metadata": {}} == {**before, "metadata": {}}
    without = [{key: item for key, item in one["metadata"].items() if key != "annotations"} for one in (before, after)]
    assert without[0] == without[1]


@given(
    metadata=st.one_of(st.none(), st.text(), st.fixed_dictionaries({"annotations": st.one_of(st.none(), st.text())})),
    name=st.sampled_from(["kill", "pause", "resume"]),
)
@settings(max_examples=40, deadline=None)
def test_an_action_on_an_odd_object_is_no_error(metadata: Any, name: str) -> None:
    made = act(name, {"metadata": metadata, "spec": {"mode": "paper"}})
    assert made["spec"] == {"mode": "paper"}
    assert offered({"metadata": metadata})["kill"]["disabled"] is False


def test_an_argo_cd_without_parameters_can_kill_too() -> None:
    (script,) = (one["action.lua"] for one in actions()["definitions"] if one["name"] == "kill")
    assert annotations(run(f"actionParams = nil\n{script}", a_bot())) == {KILL: "killed from Argo CD"}
