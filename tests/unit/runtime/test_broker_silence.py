"""A stream that keeps quiet about what the books show is mute, and only such a stream."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_word, an_order
from tradingbot_runtime.broker.silence import GRACE_SECONDS, MAX_ORDERS, Silence

NEW = a_word(an_order(), "new")
HALF = a_word(an_order(), "partially_filled", "5", "100")
FILLED = a_word(an_order(), "filled", "10", "100")
CANCELED = a_word(an_order(), "canceled", "5", "100")
LATER = GRACE_SECONDS + 1


def connected() -> Silence:
    silence = Silence()
    silence.connected()
    return silence


def test_a_fill_that_is_never_told_is_noticed_after_the_grace() -> None:
    silence = connected()
    silence.read([NEW], 0)
    silence.read([FILLED], 1)
    assert silence.overdue(GRACE_SECONDS) is None
    assert "broker-00000001" in (silence.overdue(1 + GRACE_SECONDS) or "")


def test_a_change_that_is_told_in_time_is_no_silence() -> None:
    silence = connected()
    silence.read([NEW], 0)
    silence.read([FILLED], 1)
    silence.told(FILLED)
    assert silence.overdue(LATER) is None


def test_half_of_the_truth_is_silence_about_the_other_half() -> None:
    silence = connected()
    silence.read([NEW], 0)
    silence.read([CANCELED], 1)
    silence.told(HALF)
    assert silence.overdue(1 + LATER) is not None


def test_the_stream_may_be_ahead_of_the_books() -> None:
    silence = connected()
    silence.told(FILLED)
    silence.read([HALF], 0)
    assert silence.overdue(LATER) is None


def test_what_an_order_was_when_first_seen_need_not_be_told() -> None:
    silence = connected()
    silence.read([FILLED], 0)
    assert silence.overdue(LATER) is None


def test_a_new_connection_owes_nothing_of_before_and_none_owes_nothing_at_all() -> None:
    silence = connected()
    silence.read([NEW], 0)
    silence.read([FILLED], 0)
    silence.connected()
    assert silence.overdue(LATER) is None
    silence.read([NEW], 0)
    silence.lost()
    silence.read([FILLED], 0)
    assert silence.overdue(LATER) is None


def test_legs_are_owed_like_orders() -> None:
    leg = a_word(an_order(2), "new", broker_id="leg")
    silence = connected()
    silence.read([a_word(an_order(), "filled", "10", "100", legs=(leg,))], 0)
    filled_leg = a_word(an_order(2), "filled", "10", "110", broker_id="leg")
    silence.read([a_word(an_order(), "filled", "10", "100", legs=(filled_leg,))], 1)
    assert "leg" in (silence.overdue(1 + LATER) or "")


def test_it_remembers_only_so_many_orders() -> None:
    silence = connected()
    for number in range(MAX_ORDERS + 10):
        silence.read([a_word(an_order(), "new", broker_id=str(number))], 0)
    silence.read([a_word(an_order(), "filled", "10", "1", broker_id="0")], 1)
    assert silence.overdue(1 + LATER) is None
    silence.read([a_word(an_order(), "filled", "10", "1", broker_id=str(MAX_ORDERS))], 1)
    assert silence.overdue(1 + LATER) is not None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), max_size=30))
def test_a_stream_that_tells_everything_is_never_mute_however_the_books_lag(words: list[tuple[int, bool]]) -> None:
    silence = connected()
    filled = 0
    for clock, (added, books_lag) in enumerate(words):
        before, filled = filled, min(10, filled + added)
        words_of = [a_word(an_order(), "new", str(Decimal(qty)), "100") for qty in (before, filled)]
        silence.told(words_of[1])
        silence.read([words_of[0 if books_lag else 1]], float(clock))
        assert silence.overdue(clock + LATER) is None
