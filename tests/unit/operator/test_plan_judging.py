"""What was judged once is not judged again while nothing changed, and that makes no difference to what is said."""

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradingbot_operator.plan import judging
from unit.operator.candidate import Candidate, a_gate, an_object


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    judging._KNOWN.clear()
    yield
    judging._KNOWN.clear()


def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []
    real = judging.evaluate

    def counting(*given: Any) -> Any:
        made.append(given)
        return real(*given)

    monkeypatch.setattr(judging, "evaluate", counting)
    return made


def test_a_look_at_which_nothing_changed_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = Candidate().judged().settle(2)
    made = evaluations(monkeypatch)
    bot.settle(5)
    assert made == []
    bot.session(9)
    bot.settle(3)
    assert len(made) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda bot: bot.evidence.pop(0),
        lambda bot: bot.approve(),
        lambda bot: bot.report.update(kill={"observedAt": "2026-11-21T12:00:00Z"}),
        lambda bot: bot.report.update(
            incidents=[
                {
                    "id": "i",
                    "name": "n",
                    "severity": "error",
                    "state": "open",
                    "openedAt": "2026-11-21T12:00:00Z",
                    "acknowledgeBy": "2026-11-21T12:00:00Z",
                }
            ]
        ),
        lambda bot: bot.spec(capital="1"),
        lambda bot: setattr(bot, "gate", a_gate(stages=[{"maxCapital": "1"}])),
        lambda bot: bot.later(hours=25),
        lambda bot: bot.bot["status"].update(
            demotion={"at": "2026-11-21T12:00:05Z", "reason": "Requested", "message": "", "epoch": 1}
        ),
        lambda bot: bot.attestations.append(an_object("Attestation", "a", {}, created=bot.now)),
    ],
)
def test_whatever_matters_is_judged_anew(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = Candidate().judged().settle(2)
    made = evaluations(monkeypatch)
    change(bot)
    bot.look()
    assert len(made) == 1


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("later"), st.integers(1, 200)),
            st.tuples(st.just("session"), st.integers(0, 30)),
            st.tuples(st.just("approve"), st.integers(0, 3)),
            st.tuples(st.just("preflight"), st.just(0)),
        ),
        max_size=8,
    )
)
def test_what_is_kept_says_what_judging_anew_would(steps: list[tuple[str, int]]) -> None:
    items = [{"name": "runbook", "text": "was read", "maxAge": "36h"}]
    bot = Candidate(gate=a_gate(items=items, checks={"paperSessions": {"minimum": 3, "maxAge": "20d"}})).judged()
    for what, number in steps:
        if what == "later":
            bot.later(hours=number)
        elif what == "session":
            bot.session(number)
        elif what == "approve":
            bot.approve(f"user-{number}", items=["runbook"], verdict="REVIEW")
        else:
            bot.preflight()
        stored = copy.deepcopy(bot.bot)
        kept = bot.look().status
        judging._KNOWN.clear()
        bot.bot = stored
        assert bot.look().status == kept


def test_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_KEPT", 3)
    bot = Candidate().settle(1)
    for number in range(5):
        bot.bot = {**bot.bot, "metadata": {**bot.bot["metadata"], "uid": f"uid-{number}"}}
        bot.look()
    assert list(judging._KNOWN) == ["uid-2", "uid-3", "uid-4"]


def test_a_clock_that_was_set_back_finds_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = Candidate().judged().settle(2)
    made = evaluations(monkeypatch)
    bot.now -= timedelta(days=1)
    bot.look()
    assert len(made) == 1
