"""The status of a BrokerAccount: who uses it, who owns which symbol, whether it is killed, whether it answers.

Must never name a key or an address that is not in the account's own spec.
"""

from decimal import Decimal

from tradingbot_api import KILL_ANNOTATION, BrokerAccountStatus
from tradingbot_api.broker_account import SymbolOwner
from tradingbot_operator.plan.capital import capital_of
from tradingbot_operator.plan.conditions import (
    Verdict,
    conditions,
    false,
    previous_condition,
    true,
    unknown,
)
from tradingbot_operator.plan.objects import Raw, annotation, generation_of, is_being_deleted, name_of, text
from tradingbot_operator.plan.plan import Plan
from tradingbot_operator.plan.snapshot import (
    REPORT_LIFETIME,
    AccountSnapshot,
    InvalidSpec,
    ReportAnswer,
    parse_account_spec,
)
from tradingbot_operator.plan.symbols import account_of, claim_of, is_live, live_account_of, owners

CONNECTED = "Connected"
_LIMIT = 1000
_LARGEST_AMOUNT = Decimal(10) ** 12 - 1


def plan_account(snapshot: AccountSnapshot) -> Plan:
    """The plan for one BrokerAccount: nothing but its status."""
    account = snapshot.account
    if is_being_deleted(account):
        return Plan()
    name = name_of(account)
    trading = [bot for bot in snapshot.bots if account_of(bot) == name or _is_live_on(bot, name)]
    owned = owners(map(claim_of, trading))
    verdicts = (_connected(snapshot), _killed(snapshot))
    status = BrokerAccountStatus(
        observed_generation=generation_of(account),
        bots=sorted(name_of(bot) for bot in snapshot.bots)[:_LIMIT],
        symbols=[SymbolOwner(symbol=symbol, bot=bot) for symbol, bot in list(owned.items())[:_LIMIT]],
        committed_capital=min(sum(map(capital_of, trading), Decimal(0)), _LARGEST_AMOUNT),
        conditions=conditions(account, verdicts, snapshot.now),
    )
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Plan(status={key: value for key, value in dumped.items() if value != []})


def _is_live_on(bot: Raw, account: str) -> bool:
    return live_account_of(bot) == account and is_live(bot)


def _killed(snapshot: AccountSnapshot) -> Verdict:
    reason = annotation(snapshot.account, KILL_ANNOTATION)
    if reason is None:
        return false("Killed", "NoKill")
    why = f': "{reason[:512]}"' if reason else ""
    return true("Killed", "KillRequested", f"every bot on this account is killed{why}")


def _connected(snapshot: AccountSnapshot) -> Verdict:
    spec = parse_account_spec(snapshot.account)
    if isinstance(spec, InvalidSpec):
        return unknown(CONNECTED, "InvalidSpec", f"this release cannot read the stored spec: {spec.message}")
    fresh = _fresh_reports(snapshot)
    if any(answer.report.broker_connected for answer in fresh.values()):
        return true(CONNECTED, "Connected", "the broker answers")
    if fresh:
        bots = ", ".join(sorted(fresh)[:5])
        return false(CONNECTED, "BrokerUnreachable", f"the broker does not answer: {bots}")
    if snapshot.pending and (before := previous_condition(snapshot.account, CONNECTED)) is not None:
        return before
    return unknown(CONNECTED, "NoReport", "no bot on this account reports")


def _fresh_reports(snapshot: AccountSnapshot) -> dict[str, ReportAnswer]:
    return {
        bot: answer
        for bot, answer in (snapshot.reports or {}).items()
        if snapshot.now - answer.read_at <= REPORT_LIFETIME
        # A bot on paper that only names a live account knows nothing of that one.
        and answer.report.mode == text(snapshot.account, "spec", "environment")
    }
