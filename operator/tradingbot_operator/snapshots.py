"""Gathers from the store and the report book what one decision needs. Decides nothing and asks nobody."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from tradingbot_api.group import BOT_LABEL, PRODUCER_LABEL
from tradingbot_operator.cluster.reports import ReportBook, Target
from tradingbot_operator.plan import (
    AccountSnapshot,
    BotSnapshot,
    GateSnapshot,
    PlanSettings,
    Refusal,
    Reported,
    ReportPending,
)
from tradingbot_operator.plan.children import CHILD_KINDS
from tradingbot_operator.plan.conditions import Verdict, parse_timestamp
from tradingbot_operator.plan.evidence import is_about
from tradingbot_operator.plan.flattening import FLATTEN
from tradingbot_operator.plan.names import child_name, claim_name, pod_name
from tradingbot_operator.plan.objects import (
    ObjectKey,
    Raw,
    is_being_deleted,
    label,
    text,
    uid_of,
)
from tradingbot_operator.plan.pods import is_answering, newest
from tradingbot_operator.plan.policies import NOT_READ
from tradingbot_operator.plan.snapshot import CollectedSessions, gate_of, last_answer
from tradingbot_operator.plan.symbols import account_of, live_account_of, symbols_of
from tradingbot_operator.routing import capital_rivals, is_killed, is_urgent
from tradingbot_operator.store import ACCOUNT, CLAIM, GATE, JOB, POD, Store

_PRODUCER_KINDS: Final = frozenset({"ConfigMap", "NetworkPolicy", JOB, POD})


def bot_snapshot(
    store: Store,
    book: ReportBook,
    key: ObjectKey,
    bot: Raw,
    *,
    now: datetime,
    settings: PlanSettings,
    refusals: tuple[Refusal, ...] = (),
    policies: Verdict = NOT_READ,
) -> BotSnapshot:
    """What is known of one bot."""
    account, live = account_of(bot), live_account_of(bot)
    pods = _pods(store, key)
    evidence = _objects(store, store.evidence_about(key))
    made, name = _producers(store, key), child_name(key.name)
    return BotSnapshot(
        bot=bot,
        now=now,
        settings=settings,
        account=store.get(ObjectKey(ACCOUNT, key.namespace, account)),
        gate=store.get(ObjectKey(GATE, key.namespace, gate_of(bot))),
        policies=policies,
        rivals=_claimants(
            store,
            (rival for rival in store.bots_claiming(key.namespace, account, symbols_of(bot)) if rival != key),
        ),
        account_bots=_claimants(store, capital_rivals(store, key.namespace, account)),
        account_pods=_objects(store, store.pods_trading(key.namespace, account, symbols_of(bot))),
        # By name and not by label: a namesake without our label is in the way all the same.
        children={
            kind: raw for kind in CHILD_KINDS if (raw := store.get(ObjectKey(kind, key.namespace, name))) is not None
        },
        pods=pods,
        claim=store.get(ObjectKey(CLAIM, key.namespace, claim_name(key.name))),
        live_account=store.get(ObjectKey(ACCOUNT, key.namespace, live)) if live else None,
        live_rivals=_claimants(
            store, (rival for rival in store.bots_wanting_live(key.namespace, live, symbols_of(bot)) if rival != key)
        ),
        live_account_bots=_claimants(store, capital_rivals(store, key.namespace, live)) if live else (),
        live_pods=_objects(store, store.pods_trading(key.namespace, live, symbols_of(bot))) if live else (),
        evidence=evidence,
        approvals=_objects(store, store.approvals_of(key)),
        attestations=_objects(store, store.attestations_to(key.namespace, gate_of(bot))),
        kill_records=_objects(store, store.kills_of(key)),
        validation_runs=_objects(store, store.runs_of(key)),
        flattening=tuple(one for one in made if label(one, PRODUCER_LABEL) == FLATTEN),
        producers=tuple(one for one in made if label(one, PRODUCER_LABEL) != FLATTEN),
        sessions=_sessions(book, bot, pods, evidence),
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
        bots=_claimants(store, bots),
        reports={bot: answer for bot, said in reported.items() if (answer := last_answer(said)) is not None},
        pending=any(
            isinstance(reported[bot.name], ReportPending) and any(map(is_answering, _pods(store, bot))) for bot in bots
        ),
    )


def gate_snapshot(store: Store, key: ObjectKey, gate: Raw, *, now: datetime) -> GateSnapshot:
    """What is known of one PromotionGate."""
    return GateSnapshot(gate=gate, now=now, bots=_objects(store, store.bots_at_gate(key.namespace, key.name)))


class ReportTargets:
    """The pods to ask: each bot's newest, where it runs and has an address. Looks only at what changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_bot: dict[ObjectKey, Target] = {}

    def __call__(self) -> Iterable[Target]:
        """All of them as they are now."""
        for bot in self._store.take_touched_bots():
            target = _target(self._store, bot)
            if target is None:
                self._by_bot.pop(bot, None)
            else:
                self._by_bot[bot] = target
        return self._by_bot.values()


def _target(store: Store, key: ObjectKey) -> Target | None:
    bot, pod = store.get(key), newest(_pods(store, key))
    if bot is None or pod is None or not is_answering(pod):
        return None
    return Target(
        bot=key,
        bot_uid=uid_of(bot),
        pod_uid=uid_of(pod),
        address=text(pod, "status", "podIP"),
        kill_requested=is_being_deleted(bot) or is_urgent(store, key) or is_killed(store, key),
    )


def _pods(store: Store, bot: ObjectKey) -> tuple[Raw, ...]:
    """The bot's own pod. Its labels are also those of others that belong to the bot; its name only one can have."""
    pod = store.get(ObjectKey(POD, bot.namespace, pod_name(bot.name)))
    return (pod,) if pod is not None and label(pod, BOT_LABEL) == bot.name and not label(pod, PRODUCER_LABEL) else ()


def _sessions(book: ReportBook, bot: Raw, pods: tuple[Raw, ...], evidence: tuple[Raw, ...]) -> CollectedSessions | None:
    """What the bot's pod gave, without what is evidence already and what the stored subject is too young for.

    Most looks need none of it, and to read it again each time would be most of what they cost.
    """
    pod, digest = newest(pods), text(bot, "status", "subjectDigest")
    if pod is None:
        return None
    recorded = {text(one, "spec", "sourceDigest") for one in evidence if digest and is_about(one, uid_of(bot), digest)}
    since = parse_timestamp(text(bot, "status", "promotion", "subject", "since"))
    return book.sessions.of(uid_of(pod), recorded=recorded, since=since)


def _producers(store: Store, bot: ObjectKey) -> tuple[Raw, ...]:
    found = _objects(store, (key for key in store.children(bot) if key.kind in _PRODUCER_KINDS))
    return tuple(one for one in found if label(one, PRODUCER_LABEL))


def _reported(book: ReportBook, pods: tuple[Raw, ...]) -> Reported:
    pod = newest(pods)
    return book.of(uid_of(pod)) if pod is not None else ReportPending()


def _claimants(store: Store, bots: Iterable[ObjectKey]) -> tuple[Raw, ...]:
    return tuple(raw for bot in bots if (raw := store.claimant(bot)) is not None)


def _objects(store: Store, keys: Iterable[ObjectKey]) -> tuple[Raw, ...]:
    return tuple(raw for key in keys if (raw := store.get(key)) is not None)
