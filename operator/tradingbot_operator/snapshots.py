"""Gathers from the store and the report book what one decision needs. Decides nothing and asks nobody."""

from collections.abc import Iterable
from datetime import datetime

from tradingbot_api import KILL_ANNOTATION
from tradingbot_operator.cluster.reports import ReportBook, Target
from tradingbot_operator.plan import (
    AccountSnapshot,
    BotSnapshot,
    PlanSettings,
    Refusal,
    ReportAnswer,
    Reported,
    ReportFailure,
    ReportPending,
)
from tradingbot_operator.plan.children import CHILD_KINDS
from tradingbot_operator.plan.names import child_name, claim_name
from tradingbot_operator.plan.objects import ObjectKey, Raw, annotation, text, uid_of
from tradingbot_operator.plan.pods import is_answering, newest
from tradingbot_operator.plan.symbols import account_of, symbols_of
from tradingbot_operator.store import ACCOUNT, BOT, CLAIM, POD, Store


def bot_snapshot(
    store: Store,
    book: ReportBook,
    key: ObjectKey,
    bot: Raw,
    *,
    now: datetime,
    settings: PlanSettings,
    refusals: tuple[Refusal, ...] = (),
) -> BotSnapshot:
    """What is known of one bot."""
    account = account_of(bot)
    pods = _pods(store, key)
    name = child_name(key.name)
    return BotSnapshot(
        bot=bot,
        now=now,
        settings=settings,
        account=store.get(ObjectKey(ACCOUNT, key.namespace, account)),
        rivals=_objects(
            store,
            (rival for rival in store.bots_claiming(key.namespace, account, symbols_of(bot)) if rival != key),
        ),
        account_pods=_objects(store, store.pods_on_account(key.namespace, account)),
        # By name and not by label: a namesake without our label is in the way all the same.
        children={
            kind: raw for kind in CHILD_KINDS if (raw := store.get(ObjectKey(kind, key.namespace, name))) is not None
        },
        pods=pods,
        claim=store.get(ObjectKey(CLAIM, key.namespace, claim_name(key.name))),
        reported=_reported(book, pods),
        refusals=refusals,
    )


def account_snapshot(store: Store, book: ReportBook, key: ObjectKey, account: Raw, *, now: datetime) -> AccountSnapshot:
    """What is known of one BrokerAccount."""
    bots = store.bots_on_account(key.namespace, key.name)
    reported = {bot.name: _reported(book, _pods(store, bot)) for bot in bots}
    return AccountSnapshot(
        account=account,
        now=now,
        bots=_objects(store, bots),
        reports={bot: answer for bot, said in reported.items() if (answer := _answer(said)) is not None},
        pending=any(
            isinstance(reported[bot.name], ReportPending) and any(map(is_answering, _pods(store, bot))) for bot in bots
        ),
    )


def report_targets(store: Store) -> list[Target]:
    """The pods to ask: each bot's newest, where it runs and has an address."""
    return [target for key in store.keys(BOT) if (target := _target(store, key)) is not None]


def _target(store: Store, key: ObjectKey) -> Target | None:
    bot, pod = store.get(key), newest(_pods(store, key))
    if bot is None or pod is None or not is_answering(pod):
        return None
    account = store.get(ObjectKey(ACCOUNT, key.namespace, account_of(bot)))
    return Target(
        bot=key,
        bot_uid=uid_of(bot),
        pod_uid=uid_of(pod),
        address=text(pod, "status", "podIP"),
        kill_requested=any(raw is not None and annotation(raw, KILL_ANNOTATION) is not None for raw in (bot, account)),
    )


def _pods(store: Store, bot: ObjectKey) -> tuple[Raw, ...]:
    return _objects(store, (key for key in store.children(bot) if key.kind == POD))


def _reported(book: ReportBook, pods: tuple[Raw, ...]) -> Reported:
    pod = newest(pods)
    return book.of(uid_of(pod)) if pod is not None else ReportPending()


def _answer(reported: Reported) -> ReportAnswer | None:
    return reported.last_answer if isinstance(reported, ReportFailure) else _if_answer(reported)


def _if_answer(reported: Reported) -> ReportAnswer | None:
    return reported if isinstance(reported, ReportAnswer) else None


def _objects(store: Store, keys: Iterable[ObjectKey]) -> tuple[Raw, ...]:
    return tuple(raw for key in keys if (raw := store.get(key)) is not None)
