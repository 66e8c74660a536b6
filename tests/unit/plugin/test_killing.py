"""How far a kill is: never further than what the broker has confirmed; and what a release needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.errors import Code, RefusedError, UsageError
from kubectl_tradingbot.killing import (
    End,
    check_release,
    code_of,
    progress,
    release_document,
    release_outcome,
    summary_table,
)
from tradingbot_api import ApprovalSpec
from unit.plugin.sample import STAMP, a_bot, a_condition, a_status, killed, text_of


def test_a_kill_that_was_only_asked_for_is_underway() -> None:
    asked = a_bot(annotations={"tradingbots.dev/kill": ""})
    assert progress(asked).end is End.UNDERWAY
    assert progress(asked).message == "nobody has seen it yet"
    assert asked.is_killed


def test_orders_cancelled_and_positions_kept_is_not_flat() -> None:
    kept = progress(killed(orders_cancelled_at=STAMP, open_positions=2))
    assert (kept.end, code_of([kept])) == (End.HELD, Code.HELD)
    # Nobody has said how many are held.
    assert progress(killed(orders_cancelled_at=STAMP)).end is End.HELD


def test_nothing_open_and_nothing_held_is_flat() -> None:
    assert progress(killed(orders_cancelled_at=STAMP, open_positions=0)).end is End.FLAT
    assert progress(killed(orders_cancelled_at=STAMP, flat_at=STAMP, on_kill="Flatten")).end is End.FLAT


def test_a_kill_that_flattens_is_underway_until_its_positions_are_closed() -> None:
    assert progress(killed(orders_cancelled_at=STAMP, open_positions=0, on_kill="Flatten")).end is End.UNDERWAY


@given(
    cancelled=st.sampled_from([None, STAMP]),
    flat=st.sampled_from([None, STAMP]),
    orders=st.sampled_from([None, 0, 1]),
    positions=st.sampled_from([None, 0, 1]),
    on_kill=st.sampled_from(["CancelOrders", "Flatten"]),
)
def test_flat_is_never_said_before_the_broker_confirmed_that_no_order_is_open(
    cancelled: str | None, flat: str | None, orders: int | None, positions: int | None, on_kill: str
) -> None:
    bot = killed(
        on_kill=on_kill, orders_cancelled_at=cancelled, flat_at=flat, open_orders=orders, open_positions=positions
    )
    found = progress(bot)
    if cancelled is None or (flat is None and (positions != 0 or on_kill == "Flatten")):
        assert found.end is not End.FLAT
    assert (code_of([found]) is Code.DONE) == (found.end is End.FLAT)


def test_of_several_the_worst_decides_and_stands_first() -> None:
    flat = progress(killed(orders_cancelled_at=STAMP, open_positions=0))
    held = progress(killed(orders_cancelled_at=STAMP, open_positions=1))
    underway = progress(killed())
    assert [code_of(some) for some in ([flat], [flat, held], [flat, held, underway])] == [0, 3, 4]
    lines = text_of(summary_table([flat, underway, held])).splitlines()[1:]
    assert [next(end.value for end in End if end.value in line) for line in lines] == [end.value for end in End]


def test_a_kill_still_shows_where_the_rest_of_the_status_cannot_be_read() -> None:
    broken = {**killed(orders_cancelled_at=STAMP, open_positions=0).raw["status"], "effectiveMode": "sideways"}
    assert progress(a_bot(status=broken)).end is End.FLAT


def test_a_release_names_the_epoch_of_the_kill() -> None:
    bot = killed()
    spec = ApprovalSpec.model_validate(release_document(bot, check_release(bot, "a drill"), "bob", "a drill")["spec"])
    assert (spec.action, spec.kill_epoch, spec.bot_ref.uid) == ("ReleaseKill", 3, "uid-of-momentum")


@pytest.mark.parametrize(
    ("bot", "said"),
    [
        (a_bot(), "is not killed: there is nothing to release"),
        (killed(epoch=0), "has not recorded the kill"),
        (
            killed(None, scope="BrokerAccount", said="kill requested on BrokerAccount sim; flat"),
            "kubectl annotate brokeraccount sim -n demo tradingbots.dev/kill-",
        ),
    ],
)
def test_what_cannot_be_released_says_why(bot: Bot, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        check_release(bot, "a drill")


def test_a_release_needs_a_reason() -> None:
    with pytest.raises(UsageError, match="--reason"):
        check_release(killed(), "  ")


def test_a_release_is_done_when_the_bot_is_not_killed_any_more() -> None:
    free = a_bot(status=a_status(conditions=[a_condition("Killed", "False", "NoKill")]))
    assert release_outcome(free, 3, "go") == (True, "the kill is released")
    waits = killed(None, said="killed; Approval go releases it once the broker has confirmed that no order is open")
    assert release_outcome(waits, 3, "go")[0] is False
    with pytest.raises(RefusedError, match="another kill is in force, epoch 4"):
        release_outcome(killed(epoch=4), 3, "go")
    with pytest.raises(RefusedError, match="go does not release it: older than the kill"):
        release_outcome(killed(None, said="x; Approval go does not release it: older than the kill"), 3, "go")
