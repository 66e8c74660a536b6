"""Who may trade a symbol of an account: the eldest bot that asks for it, and only once no other pod does.

Reads raw specs, so that a bot whose spec this release cannot parse still keeps what its pod trades.
Must never depend on the order in which bots were seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tradingbot_api import Mode
from tradingbot_api.group import BOT_LABEL, SYMBOLS_ANNOTATION
from tradingbot_operator.plan.objects import Raw, annotation, created_at, label, mapping, name_of, strings, text, uid_of


@dataclass(frozen=True)
class Claim:
    """One bot's wish to trade symbols of an account."""

    bot: str
    uid: str
    created_at: str
    symbols: frozenset[str]

    @property
    def seniority(self) -> tuple[str, str]:
        """Smaller is elder; the uid decides between bots of the same second."""
        return (self.created_at, self.uid)


@dataclass(frozen=True)
class Overlap:
    """Symbols that another bot has first."""

    bot: str
    symbols: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.symbols)} (bot {self.bot})"


def account_of(bot: Raw) -> str:
    """The BrokerAccount the bot trades on while it is on paper. It keeps its symbols there while it is live."""
    return text(bot, "spec", "accounts", "paper")


def live_account_of(bot: Raw) -> str:
    """The BrokerAccount the bot trades on once it is live, or an empty string."""
    return text(bot, "spec", "accounts", "live")


def asks_for_live(bot: Raw) -> bool:
    """Whether spec.mode asks for real money."""
    return text(bot, "spec", "mode") == Mode.LIVE.value


def is_live(bot: Raw) -> bool:
    """Whether the stored status says that the bot may trade real money, or that a live pod of it is not gone yet."""
    return bool(mapping(bot, "status", "grant")) or text(bot, "status", "effectiveMode") == Mode.LIVE.value


def accounts_of(bot: Raw) -> tuple[str, ...]:
    """Every BrokerAccount the bot names."""
    names = (text(bot, "spec", "accounts", use) for use in ("paper", "live"))
    return tuple(dict.fromkeys(name for name in names if name))


def symbols_of(bot: Raw) -> tuple[str, ...]:
    """The symbols the bot asks for, in its order, each once."""
    return tuple(dict.fromkeys(strings(bot, "spec", "symbols")))


def claim_of(bot: Raw) -> Claim:
    """What a bot asks for."""
    return Claim(
        bot=name_of(bot),
        uid=uid_of(bot),
        created_at=created_at(bot),
        symbols=frozenset(symbols_of(bot)),
    )


def owned_live(mine: Claim, others: Iterable[Raw]) -> tuple[Overlap, ...]:
    """Symbols of a live account that other bots own, eldest bot first: those that are live, and elders that ask for it.

    A bot that is live is not sent back because an elder one only asks. Where two became live at once, the elder stays.
    """
    claims = [(claim_of(other), is_live(other)) for other in others if is_live(other) or asks_for_live(other)]
    ahead = [claim for claim, live in claims if live or claim.seniority < mine.seniority]
    overlaps = ((claim.bot, mine.symbols & claim.symbols) for claim in sorted(ahead, key=_seniority))
    return tuple(Overlap(bot, tuple(sorted(shared))) for bot, shared in overlaps if shared)


def owned_by_elders(mine: Claim, others: Iterable[Claim]) -> tuple[Overlap, ...]:
    """The symbols that elder bots own, eldest bot first."""
    elders = sorted((other for other in others if other.seniority < mine.seniority), key=_seniority)
    overlaps = ((elder.bot, mine.symbols & elder.symbols) for elder in elders)
    return tuple(Overlap(bot, tuple(sorted(shared))) for bot, shared in overlaps if shared)


def still_held(mine: Claim, pods: Iterable[Raw]) -> tuple[Overlap, ...]:
    """The symbols of mine that a pod of another bot may still trade: it runs, or is not yet gone."""
    held: dict[str, set[str]] = {}
    for pod in pods:
        bot = label(pod, BOT_LABEL)
        if bot != mine.bot and text(pod, "status", "phase") not in ("Succeeded", "Failed"):
            shared = mine.symbols & set((annotation(pod, SYMBOLS_ANNOTATION) or "").split(","))
            held.setdefault(bot, set()).update(shared)
    return tuple(Overlap(bot, tuple(sorted(shared))) for bot, shared in sorted(held.items()) if shared)


def owners(claims: Iterable[Claim]) -> dict[str, str]:
    """The bot that owns each symbol, by symbol."""
    found: dict[str, str] = {}
    for claim in sorted(claims, key=_seniority):
        for symbol in claim.symbols:
            found.setdefault(symbol, claim.bot)
    return dict(sorted(found.items()))


def _seniority(claim: Claim) -> tuple[str, str]:
    return claim.seniority
