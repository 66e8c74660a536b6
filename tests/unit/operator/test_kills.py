"""A kill in force ends by a person's Approval of its number, and by nothing that is missing, old or unreadable."""

from datetime import timedelta
from typing import Any

import pytest

from tradingbot_api import BotRef, ConfirmedBy, KillScope, Mode, OnKill
from tradingbot_operator.plan.kills import (
    RELEASE_LIFETIME,
    Kill,
    is_known_to,
    kill_request,
    record_manifest,
    release_of,
    released,
    status_document,
)
from unit.operator.kill_world import (
    AN_HOUR_AGO,
    CANCELLED,
    DONE,
    FLAT,
    KILL,
    RELEASED,
    SEEN,
    a_flatten_report,
    a_killed_bot,
    a_record,
    a_release,
    in_force,
    latch,
)
from unit.operator.world import NOW, UID, a_bot, a_report, an_account, stamp

NOW_STAMP = "2026-11-21T12:00:00Z"


def a_status(kill: Any, *, killed: str = "True", mode: str = "paper") -> dict[str, Any]:
    """The bot's stored status."""
    condition = {"type": "Killed", "status": killed, "reason": "KillRequested", "lastTransitionTime": AN_HOUR_AGO}
    return {"kill": kill, "conditions": [condition], "effectiveMode": mode}


# ---------------------------------------------------------------- where a kill comes from


def test_nothing_asked_nothing_latched_and_nothing_recorded_is_no_kill() -> None:
    found = latch(report=a_report())
    assert (found.kill, found.highest, found.released, found.last_release) == (None, 0, 0, "")


@pytest.mark.parametrize("value", ["why", "", "false", "0", "no"])
def test_the_annotations_presence_kills_whatever_its_value(value: str) -> None:
    found = latch(a_killed_bot(value))
    kill = in_force(found)
    assert (found.highest, found.released) == (1, 0)
    assert (kill.spec.epoch, kill.spec.scope, kill.spec.account) == (1, KillScope.TRADING_BOT, None)
    assert (kill.spec.reason, kill.spec.observed_at, kill.record) == (value, NOW_STAMP, None)
    assert kill.spec.bot_ref == BotRef(name="momentum", uid=UID)


def test_an_account_kills_its_bot_and_is_named() -> None:
    kill = in_force(latch(account=an_account(annotations={KILL: "all of it"})))
    assert (kill.spec.scope, kill.spec.account, kill.spec.reason) == (KillScope.BROKER_ACCOUNT, "sim", "all of it")


def test_the_bots_own_annotation_is_named_before_the_accounts() -> None:
    request = kill_request(a_killed_bot("mine"), None, an_account(annotations={KILL: "all"}))
    assert request is not None
    assert (request.scope, request.name, request.reason) == (KillScope.TRADING_BOT, "momentum", "mine")


def test_a_reason_as_long_as_an_annotation_may_be_fits_into_a_record() -> None:
    kill = in_force(latch(a_killed_bot("x" * 200_000)))
    assert len(kill.spec.reason) == 512
    assert record_manifest(kill, a_bot())["spec"]["reason"] == "x" * 512


@pytest.mark.parametrize(
    ("on_kill", "mode", "expected"),
    [
        ("Flatten", "live", (OnKill.FLATTEN, Mode.LIVE)),
        ("CancelOrders", "paper", (OnKill.CANCEL_ORDERS, Mode.PAPER)),
        (7, "neither", (OnKill.CANCEL_ORDERS, Mode.PAPER)),
    ],
)
def test_a_new_kill_is_of_what_the_bot_is_and_asks_for(on_kill: Any, mode: str, expected: Any) -> None:
    kill = in_force(latch(a_killed_bot(onKill=on_kill, status={"effectiveMode": mode})))
    assert (kill.spec.on_kill, kill.spec.mode) == expected


@pytest.mark.parametrize(("epoch", "scope"), [(1, "File"), (0, "TradingBot"), (1, "BrokerAccount"), (7, "Unheard-of")])
def test_a_kill_that_the_bot_says_it_is_under_is_recorded_without_any_annotation(epoch: int, scope: str) -> None:
    kill = in_force(latch(report=a_report(kill=SEEN | {"epoch": epoch, "scope": scope, "reason": "lost its cluster"})))
    known = scope if scope in set(KillScope) else "TradingBot"
    assert (kill.spec.epoch, kill.spec.scope.value, kill.spec.reason) == (1, known, "lost its cluster")


def test_a_bot_that_makes_numbers_up_moves_the_count_by_one() -> None:
    records = [a_record(1, status=DONE | RELEASED), a_record(2, status=DONE | RELEASED)]
    found = latch(records=records, report=a_report(kill=SEEN | {"epoch": 10**9}))
    assert (found.highest, found.released, in_force(found).spec.epoch) == (3, 2, 3)
    # And what it says of a number that is not in force counts for nothing.
    again = latch(records=[*records, a_record(3)], report=a_report(kill=FLAT | {"epoch": 10**9}))
    assert (again.highest, in_force(again).spec.epoch) == (3, 3)
    assert again.kill is not None and again.kill.status.orders_cancelled_at is None


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_kill_that_was_released_is_no_news_from_a_pod_that_has_not_heard_yet(epoch: int) -> None:
    records = [a_record(1, status=DONE | RELEASED), a_record(2, status=DONE | RELEASED)]
    assert latch(records=records, report=a_report(kill=CANCELLED | {"epoch": epoch})).kill is None


def test_an_annotation_after_a_release_is_the_next_kill() -> None:
    found = latch(a_killed_bot("again"), records=[a_record(1, status=DONE | RELEASED)])
    assert (found.highest, found.released, in_force(found).spec.epoch) == (2, 1, 2)
    assert in_force(found).spec.reason == "again"


# ---------------------------------------------------------------- what is stored


def test_a_record_keeps_the_bot_killed_when_nothing_else_does() -> None:
    kill = in_force(latch(records=[a_record(4)]))
    assert (kill.spec.epoch, kill.spec.reason) == (4, "reason 4")
    assert kill.record is not None


def test_the_last_of_several_is_in_force_and_the_first_says_what_is_released() -> None:
    records = [a_record(3), a_record(1, status=DONE | RELEASED), a_record(2)]
    found = latch(records=records)
    assert (found.highest, found.released, in_force(found).spec.epoch) == (3, 1, 3)
    # The former is still in force once the last is released.
    found = latch(records=[a_record(3, status=DONE | RELEASED), a_record(2), a_record(1, status=DONE | RELEASED)])
    assert (found.highest, found.released, in_force(found).spec.epoch) == (3, 1, 2)


def test_who_released_the_last_one_is_said_once_none_is_in_force() -> None:
    found = latch(records=[a_record(2, status=DONE | RELEASED), a_record(1, status=DONE | RELEASED)])
    assert (found.kill, found.highest, found.released) == (None, 2, 2)
    assert found.last_release == "kill 2 was released by rita at 2026-11-21T11:30:00Z"
    nameless = latch(records=[a_record(1, status={"releasedAt": "2026-11-21T11:30:00Z"})])
    assert nameless.last_release == "kill 1 was released by somebody at 2026-11-21T11:30:00Z"


def test_a_kill_of_a_release_that_kept_no_records_is_the_first() -> None:
    bot = a_bot(status=a_status(CANCELLED | {"reason": "before"}, mode="live"), onKill="Flatten")
    found = latch(bot, report=None)
    kill = in_force(found)
    assert (found.highest, kill.spec.epoch, kill.spec.reason, kill.record) == (1, 1, "before", None)
    assert (kill.spec.mode, kill.spec.on_kill) == (Mode.LIVE, OnKill.FLATTEN)
    # What the broker confirmed then is confirmed.
    assert kill.status.orders_cancelled_at == CANCELLED["ordersCancelledAt"]
    assert kill.status.open_positions == 2
    assert not kill.is_done


def test_a_number_that_nobody_counted_is_not_made_a_second_kill_of() -> None:
    released_once = [a_record(1, status=DONE | RELEASED)]
    assert latch(a_bot(status=a_status(CANCELLED)), records=released_once).kill is None


def test_a_record_that_was_lost_is_written_again_with_its_own_number() -> None:
    bot = a_bot(status=a_status(CANCELLED | {"epoch": 3, "reason": "the third"}))
    found = latch(bot, records=[a_record(2, status=DONE | RELEASED)])
    kill = in_force(found)
    assert (found.highest, found.released, kill.spec.epoch, kill.record) == (3, 2, 3, None)
    assert kill.status.orders_cancelled_at == CANCELLED["ordersCancelledAt"]
    # Also with the annotation still there: it is the same kill, and not another one.
    annotated = latch({**bot, "metadata": a_killed_bot("now")["metadata"]}, records=[])
    assert (annotated.highest, in_force(annotated).spec.epoch, in_force(annotated).spec.reason) == (3, 3, "now")


@pytest.mark.parametrize(
    "status",
    [
        a_status(CANCELLED | {"epoch": 5}, killed="False"),
        a_status({"epoch": 5, "reason": 7}),
        a_status({}),
        a_status("killed"),
        {"kill": CANCELLED},
    ],
    ids=["said to be over", "not a kill", "empty", "no mapping", "without a condition"],
)
def test_what_a_status_does_not_say_whole_makes_no_record(status: Any) -> None:
    assert latch(a_bot(status=status)).kill is None


def test_a_record_of_another_release_kills_as_much_as_a_kill_can() -> None:
    unknown = a_record(2, onKill="Hedge", mode="shadow")
    found = latch(records=[a_record(1, status=DONE | RELEASED), unknown])
    kill = in_force(found)
    assert (found.highest, found.released, kill.spec.epoch) == (2, 1, 2)
    assert (kill.spec.on_kill, kill.spec.observed_at) == (OnKill.FLATTEN, AN_HOUR_AGO)
    assert "KillRecord momentum-2 cannot be read by this release" in kill.spec.reason
    assert kill.record == unknown


def test_what_can_be_read_of_such_a_record_holds() -> None:
    kill = in_force(latch(records=[a_record(mode="live", onKill="CancelOrders", scope="Moon")]))
    assert (kill.spec.mode, kill.spec.on_kill) == (Mode.LIVE, OnKill.CANCEL_ORDERS)


def test_a_record_without_a_number_kills_too() -> None:
    kill = in_force(latch(records=[a_record(1) | {"spec": {}}]))
    assert kill.spec.epoch == 1


@pytest.mark.parametrize("odd", [{"ordersCancelledAt": 5}, {"openOrders": -1}, {"confirmedBy": 0}])
def test_a_status_that_cannot_be_read_confirms_nothing(odd: Any) -> None:
    kill = in_force(latch(records=[a_record(status=DONE | odd)]))
    assert kill.status.orders_cancelled_at is None
    assert not kill.is_done


def test_the_record_has_no_owner_and_names_its_bot() -> None:
    kill = in_force(latch(a_killed_bot()))
    manifest = record_manifest(kill, a_bot())
    assert "ownerReferences" not in manifest["metadata"]
    assert manifest["metadata"]["name"] == "momentum-1"
    assert manifest["metadata"]["labels"]["tradingbots.dev/bot"] == "momentum"
    assert manifest["spec"]["botRef"] == {"name": "momentum", "uid": UID}


# ---------------------------------------------------------------- how far it is


def test_what_the_bot_says_becomes_the_records() -> None:
    kill = in_force(latch(records=[a_record()], report=a_report(kill=CANCELLED | {"epoch": 1})))
    assert status_document(kill.status) == {
        "acknowledgedAt": CANCELLED["observedAt"],
        "ordersCancelledAt": CANCELLED["ordersCancelledAt"],
        "openOrders": 0,
        "openPositions": 2,
        "confirmedBy": "Bot",
        "attempts": 0,
        "message": "",
    }
    assert kill.is_done
    assert kill.report.observed_at == CANCELLED["observedAt"]


@pytest.mark.parametrize("later", [SEEN, SEEN | {"openOrders": 3, "openPositions": 5}, None])
def test_what_was_confirmed_once_stays_confirmed(later: Any) -> None:
    done = {"acknowledgedAt": "a", "ordersCancelledAt": "b", "flatAt": "c", "confirmedBy": "FlattenJob"}
    said = later | {"epoch": 1} if later else None
    kill = in_force(latch(records=[a_record(status=done, onKill="Flatten")], report=a_report(kill=said)))
    status = kill.status
    assert (status.acknowledged_at, status.orders_cancelled_at, status.flat_at) == ("a", "b", "c")
    assert status.confirmed_by is ConfirmedBy.FLATTEN_JOB
    assert kill.is_done


def test_the_bot_says_what_it_waits_for_as_long_as_it_does() -> None:
    queued = CANCELLED | {"epoch": 1, "message": "closings are queued for the open"}
    kill = in_force(latch(records=[a_record(onKill="Flatten")], report=a_report(kill=queued)))
    assert kill.report.message == "closings are queued for the open"
    stored = a_record(onKill="Flatten", status=status_document(kill.status))
    assert in_force(latch(records=[stored])).report.message == "closings are queued for the open"
    flat = in_force(latch(records=[stored], report=a_report(kill=FLAT | {"epoch": 1})))
    assert (flat.report.message, flat.is_done) == ("", True)


def test_flatten_is_not_done_while_something_may_be_held() -> None:
    record = a_record(onKill="Flatten")
    assert not in_force(latch(records=[record], report=a_report(kill=CANCELLED | {"epoch": 1}))).is_done
    assert in_force(latch(records=[record], report=a_report(kill=FLAT | {"epoch": 1}))).is_done


@pytest.mark.parametrize(("mode", "said", "counts"), [("live", "paper", False), ("paper", "live", False)])
def test_one_account_says_nothing_of_the_other(mode: str, said: str, counts: bool) -> None:
    record = a_record(mode=mode)
    report = a_report(mode=said, kill=FLAT | {"epoch": 1})
    words = {1: a_flatten_report(mode=said, flatten=True)}
    kill = in_force(latch(records=[record], report=report, flattened=words))
    assert (kill.status.orders_cancelled_at is not None) is counts
    assert kill.status.acknowledged_at is None
    assert in_force(latch(records=[record], flattened={1: a_flatten_report(mode=mode)})).is_done


def test_a_later_bot_of_the_name_has_nothing_on_the_other_account() -> None:
    record = a_record(uid="uid-of-the-former", mode="live")
    kill = in_force(latch(records=[record], report=a_report(kill=CANCELLED | {"epoch": 1})))
    assert kill.status.orders_cancelled_at == CANCELLED["ordersCancelledAt"]


def test_a_jobs_words_confirm_what_no_bot_did() -> None:
    kill = in_force(latch(records=[a_record(onKill="Flatten")], flattened={1: a_flatten_report(flatten=True)}))
    assert kill.is_done
    assert (kill.status.confirmed_by, kill.status.acknowledged_at) == (ConfirmedBy.FLATTEN_JOB, None)
    assert kill.status.message == "Confirmed: nothing is left"


def test_a_job_that_may_not_touch_positions_leaves_none_that_are_this_bots() -> None:
    kill = in_force(latch(records=[a_record(onKill="Flatten")], flattened={1: a_flatten_report(flatten=False)}))
    assert kill.status.flat_at == kill.status.orders_cancelled_at == "2026-11-21T11:59:01Z"


def test_a_job_that_was_asked_to_keep_positions_makes_nobody_flat() -> None:
    words = {1: a_flatten_report(flatten=False, openPositions=3)}
    kill = in_force(latch(records=[a_record(onKill="CancelOrders")], flattened=words))
    assert (kill.is_done, kill.status.flat_at, kill.status.open_positions) == (True, None, 3)


def test_a_job_that_did_not_get_there_says_why_and_confirms_nothing() -> None:
    words = a_flatten_report(
        confirmed=False, reason="TimedOut", message="500 for a minute", ordersCancelledAt=None, openOrders=4
    )
    kill = in_force(latch(records=[a_record()], flattened={1: words}))
    assert (kill.status.orders_cancelled_at, kill.status.confirmed_by) == (None, None)
    assert (kill.status.open_orders, kill.status.message) == (4, "TimedOut: 500 for a minute")


@pytest.mark.parametrize("words", [{2: a_flatten_report()}, {1: a_flatten_report(uid="of another")}])
def test_a_job_of_another_kill_or_bot_confirms_nothing(words: Any) -> None:
    assert in_force(latch(records=[a_record()], flattened=words)).status.orders_cancelled_at is None


@pytest.mark.parametrize(("epoch", "known"), [(0, True), (2, True), (1, False), (3, False), (10**9, False)])
def test_a_bot_knows_a_kill_by_its_number(epoch: int, known: bool) -> None:
    kill = in_force(latch(records=[a_record(2)]))
    assert is_known_to(a_report(kill=SEEN | {"epoch": epoch}), kill) is known
    assert not is_known_to(a_report(), kill)
    assert not is_known_to(None, kill)


# ---------------------------------------------------------------- its end


def why(approval: Any, *, obstacles: Any = (), status: Any = DONE, **record: Any) -> str:
    """What a release waits for; empty where it is done."""
    approvals = approval if isinstance(approval, list) else [approval]
    release = release_of(latch(records=[a_record(status=status, **record)]), a_bot(), approvals, obstacles, NOW)
    assert (release.by is None) or not release.waits_for
    return "" if release.by is not None else release.waits_for or "nobody asked"


def test_an_approval_of_its_number_ends_it() -> None:
    found = latch(records=[a_record(status=DONE)])
    release = release_of(found, a_bot(), [a_release()], (), NOW)
    assert release.by is not None
    assert (release.by.name, release.by.uid, release.by.approver) == ("over", "uid-of-over", "rita")
    after = released(found, release.by, NOW)
    assert (after.kill, after.highest, after.released) == (None, 1, 1)
    assert after.last_release == f"kill 1 was released by rita at {NOW_STAMP}"


def test_no_kill_needs_no_end() -> None:
    release = release_of(latch(), a_bot(), [a_release()], (), NOW)
    assert (release.by, release.waits_for) == (None, "")


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        (a_release(2), "of kill 2, and kill 1 is in force"),
        (a_release(botRef={"name": "momentum", "uid": "the-former-bots"}), "of another bot of this name"),
        (a_release(minutes_ago=61), "older than the kill"),
        (a_release(minutes_ago=-6), "its time cannot be true"),
        (a_release() | {"metadata": {"name": "over"}}, "its time cannot be true"),
    ],
)
def test_what_is_void_says_why(approval: Any, words: str) -> None:
    assert words in why(approval)
    assert "Approval over does not release it" in why(approval)


AGAIN = {"scope": "BrokerAccount", "name": "sim", "reason": "leak", "observedAt": stamp(NOW - timedelta(minutes=10))}


def test_who_approved_before_it_was_asked_for_again_did_not_know_of_that() -> None:
    asked = {"status": DONE | {"requestedAgain": AGAIN}}
    assert "older than the kill that BrokerAccount sim asked for" in why(a_release(minutes_ago=11), **asked)
    assert why(a_release(minutes_ago=9), **asked) == ""


def test_an_annotation_elsewhere_or_of_another_reason_asks_again() -> None:
    killed = a_killed_bot()
    first = latch(bot=killed).kill
    assert first is not None and first.status.requested_again is None
    record = a_record(scope="TradingBot", reason=first.spec.reason)
    for bot, account, asked in (
        (killed, None, None),
        (a_bot(), None, None),
        (a_killed_bot("worse"), None, ("TradingBot", "momentum", "worse")),
        (a_bot(), an_account(annotations={KILL: "leak"}), ("BrokerAccount", "sim", "leak")),
    ):
        kill = latch(bot=bot, account=account, records=[record]).kill
        assert kill is not None
        again = kill.status.requested_again
        assert (asked is None) == (again is None)
        assert again is None or (again.scope, again.name, again.reason, again.observed_at) == (*asked, NOW_STAMP)


def test_what_was_asked_again_is_said_with_the_time_it_was_first_seen_and_kept() -> None:
    account = an_account(annotations={KILL: "leak"})
    for bot, now in ((a_bot(), account), (a_bot(), None)):
        kill = latch(bot=bot, account=now, records=[a_record(status={"requestedAgain": AGAIN})]).kill
        assert kill is not None and kill.status.requested_again is not None
        assert kill.status.requested_again.observed_at == AGAIN["observedAt"]


def test_an_approval_is_good_for_a_day() -> None:
    long_ago = stamp(NOW - timedelta(days=3))
    hours = RELEASE_LIFETIME.total_seconds() / 60
    assert why(a_release(minutes_ago=hours), observedAt=long_ago) == ""
    assert "expired: older than 24 h" in why(a_release(minutes_ago=hours + 1), observedAt=long_ago)


def test_an_approval_of_the_kills_own_second_counts_and_one_of_the_second_before_does_not() -> None:
    assert why(a_release(minutes_ago=60), observedAt="2026-11-21T11:00:00.900Z") == ""
    assert "older than the kill" in why(a_release(minutes_ago=60 + 1 / 60), observedAt="2026-11-21T11:00:00.900Z")


@pytest.mark.parametrize("action", ["Promote", "AcknowledgeIncident"])
def test_another_action_and_what_cannot_be_read_ask_for_nothing(action: str) -> None:
    other = {"gate": "standard", "subjectDigest": "a" * 64, "verdict": "GO", "incident": "i"}
    assert why(a_release(action=action, **other)) == "nobody asked"
    assert why(a_release(action="ReleaseEverything")) == "nobody asked"
    assert why(a_release() | {"spec": None}) == "nobody asked"
    assert why([]) == "nobody asked"


def test_a_good_one_counts_beside_void_ones() -> None:
    assert why([a_release(9, name="a"), a_release(name="b", minutes_ago=70), a_release(name="c")]) == ""


def test_of_several_void_ones_the_last_is_named() -> None:
    said = why([a_release(9, name="last", minutes_ago=1), a_release(8, name="first", minutes_ago=5)])
    assert "Approval last" in said and "kill 9" in said


def test_of_several_good_ones_the_first_is_used() -> None:
    approvals = [a_release(name="b", minutes_ago=2), a_release(name="c", minutes_ago=1), a_release(name="a")]
    release = release_of(latch(records=[a_record(status=DONE)]), a_bot(), approvals, (), NOW)
    assert release.by is not None and release.by.name == "b"


@pytest.mark.parametrize(
    ("status", "on_kill", "words"),
    [
        ({}, "CancelOrders", "the broker has confirmed that no order is open"),
        ({"acknowledgedAt": "a"}, "Flatten", "the broker has confirmed that no order is open"),
        (DONE, "Flatten", "the broker has confirmed that nothing is held"),
    ],
)
def test_it_waits_until_the_broker_has_confirmed(status: Any, on_kill: str, words: str) -> None:
    assert why(a_release(), status=status, onKill=on_kill) == f"Approval over releases it once {words}"


def test_it_says_everything_that_it_waits_for_the_broker_first() -> None:
    said = why(a_release(), status={}, obstacles=("this is so", "that is so"))
    assert (
        said == "Approval over releases it once the broker has confirmed that no order is open; this is so; that is so"
    )


def test_a_void_one_is_not_said_to_wait() -> None:
    assert "once" not in why(a_release(2), status={}, obstacles=("this is so",))


def test_the_last_of_several_is_released_first_and_the_number_follows_when_all_are() -> None:
    records = [a_record(1, status=DONE), a_record(2, status=DONE)]
    found = latch(records=records)
    assert "of kill 1, and kill 2 is in force" in release_of(found, a_bot(), [a_release(1)], (), NOW).waits_for
    by = release_of(found, a_bot(), [a_release(2)], (), NOW).by
    assert by is not None
    assert (released(found, by, NOW).released, released(found, by, NOW).highest) == (0, 2)
    second = latch(records=[records[0], a_record(2, status=DONE | RELEASED)])
    assert (second.released, in_force(second).spec.epoch) == (0, 1)
    by = release_of(second, a_bot(), [a_release(1)], (), NOW).by
    assert by is not None
    after = latch(records=[a_record(1, status=DONE | RELEASED), a_record(2, status=DONE | RELEASED)])
    assert (after.kill, after.released) == (None, 2)


def test_a_kill_is_only_done_by_what_its_own_record_asks_for() -> None:
    # The spec says Flatten since, and the kill was one of CancelOrders: what was asked then is done.
    kill = in_force(latch(a_bot(onKill="Flatten"), records=[a_record(status=DONE)]))
    assert isinstance(kill, Kill)
    assert kill.is_done


@pytest.mark.parametrize(("reason", "cancelled"), [("TimedOut", False), ("QueuedForTheOpen", True)])
def test_a_job_that_ended_without_confirmation_has_confirmed_only_what_it_verified(
    reason: str, cancelled: bool
) -> None:
    words = {1: a_flatten_report(flatten=True, confirmed=False, reason=reason)}
    kill = in_force(latch(records=[a_record(onKill="Flatten")], flattened=words))
    assert (kill.status.orders_cancelled_at is not None) is cancelled
    assert kill.status.flat_at is None
    assert not kill.is_done
