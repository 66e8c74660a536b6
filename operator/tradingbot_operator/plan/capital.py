"""Whether an account has room for a bot's capital: the elder bots come first, whatever they do with it.

Reads raw specs, so that a bot whose spec this release cannot parse still counts. Must never depend on the order in
which bots were seen, and never let a younger bot in before an elder one that does not fit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tradingbot_api import BrokerAccountSpec
from tradingbot_operator.plan.objects import Raw, text, uid_of
from tradingbot_operator.plan.symbols import account_of, asks_for_live, claim_of, is_live, live_account_of


@dataclass(frozen=True)
class Shortage:
    """A capital that does not fit beside those of the elder bots."""

    account: str
    limit: Decimal
    elders: Decimal
    asked: Decimal
    who: str = "elder bots"

    def __str__(self) -> str:
        return (
            f"BrokerAccount {self.account} allows {self.limit:f} in all (limits.maxCapital), {self.who} have"
            f" {self.elders:f} of it, and this one asks for {self.asked:f}"
        )


def capital_of(bot: Raw) -> Decimal:
    """The capital a bot asks for; zero where it says none that can be read."""
    try:
        capital = Decimal(text(bot, "spec", "capital"))
    except InvalidOperation:
        return Decimal(0)
    return capital if capital.is_finite() and capital > 0 else Decimal(0)


def committed(account: str, bots: Iterable[Raw]) -> Decimal:
    """The capitals of the bots that trade on an account, added up."""
    return sum((capital_of(bot) for bot in bots if account_of(bot) == account), Decimal(0))


def shortage(bot: Raw, others: Iterable[Raw], account: BrokerAccountSpec) -> Shortage | None:
    """What is missing for this bot, or None where it fits or the account has no limit."""
    limit = account.limits.max_capital
    if limit is None:
        return None
    name, seniority = account_of(bot), claim_of(bot).seniority
    elders = (other for other in others if uid_of(other) != uid_of(bot) and claim_of(other).seniority < seniority)
    missing = Shortage(name, limit, committed(name, elders), capital_of(bot))
    return missing if missing.elders + missing.asked > limit else None


def live_shortage(bot: Raw, account: str, others: Iterable[Raw], spec: BrokerAccountSpec) -> Shortage | None:
    """What a live account lacks for this bot, or None where it fits or the account has no limit.

    Others count that are live there, and elder ones that ask to be.
    """
    limit = spec.limits.max_capital
    if limit is None:
        return None
    seniority = claim_of(bot).seniority
    ahead = (
        other
        for other in others
        if uid_of(other) != uid_of(bot)
        and live_account_of(other) == account
        and (is_live(other) or (asks_for_live(other) and claim_of(other).seniority < seniority))
    )
    missing = Shortage(account, limit, sum(map(capital_of, ahead), Decimal(0)), capital_of(bot), "bots before it")
    return missing if missing.elders + missing.asked > limit else None
