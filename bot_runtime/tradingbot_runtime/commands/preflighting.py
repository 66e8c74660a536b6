"""A last look at an account before real money: can it be read, may it trade, does it suffice. Only asks questions.

The one thing that leaves is a test notice, because whether notices arrive can be seen in no other way.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tradingbot_api import BrokerEnvironment, BrokerProvider, PreflightCheck, PreflightReport
from tradingbot_runtime.broker.account import BrokerAccount
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.port import BrokerError, BrokerUnavailable
from tradingbot_runtime.commands.account_config import PreflightConfig
from tradingbot_runtime.core.records import NoticeRecord
from tradingbot_runtime.core.report import instant, text
from tradingbot_runtime.core.values import MarketClock
from tradingbot_runtime.ops.notices import Deliverer, DeliveryFailed

CHECKS: Final = ("Keys", "Account", "BuyingPower", "ClockSkew", "Symbols", "MarketData", "Notices")
"""What is looked at, in this order."""
LARGEST_CLOCK_SKEW: Final = timedelta(seconds=5)
MAX_MESSAGE_LENGTH: Final = 256
_SYMBOLS_NAMED: Final = 10


@dataclass(frozen=True)
class Finding:
    """What came of one check. `is_answered` is False where the broker was silent: another try may find more."""

    passed: bool
    message: str
    is_answered: bool = True


@dataclass(frozen=True)
class Preflighted:
    """What was found, by check."""

    findings: dict[str, Finding]

    @property
    def has_failed(self) -> bool:
        """Whether something was looked at and is not as it should be."""
        return any(one.is_answered and not one.passed for one in self.findings.values())

    @property
    def is_unanswered(self) -> bool:
        """Whether something could not be looked at."""
        return any(not one.is_answered for one in self.findings.values())

    def report(self, config: PreflightConfig, longest_message: int = MAX_MESSAGE_LENGTH) -> PreflightReport:
        """The findings as the document that the operator reads."""
        return PreflightReport(
            uid=config.bot.uid,
            account=config.broker.account,
            checks=[
                PreflightCheck(name=name, passed=one.passed, message=text(one.message)[:longest_message])
                for name, one in self.findings.items()
            ],
        )


class Preflight:
    """One look at one account. Used once."""

    def __init__(
        self,
        config: PreflightConfig,
        broker: AlpacaBroker,
        deliverer: Deliverer,
        machine_clock: Callable[[], datetime],
        *,
        capital: Decimal | None = None,
    ) -> None:
        """`capital`: what the account must be able to buy for; None: the config's own. In account currency."""
        self._config = config
        self._broker = broker
        self._deliverer = deliverer
        self._machine_clock = machine_clock
        self._capital = capital or config.capital
        self._account: BrokerAccount | None = None
        self._clock: MarketClock | None = None

    async def run(self) -> Preflighted:
        """Looks at everything, whatever of it fails."""
        looks = (
            self._keys,
            self._account_stands,
            self._buying_power,
            self._clock_skew,
            self._symbols,
            self._market_data,
            self._notices,
        )
        return Preflighted({name: await _found(look()) for name, look in zip(CHECKS, looks, strict=True)})

    async def _keys(self) -> Finding:
        self._account = await self._broker.account()
        is_paper, wanted = self._account.is_paper, self._config.broker.environment
        if is_paper != (wanted is BrokerEnvironment.PAPER):
            found = "paper" if is_paper else "live"
            return Finding(False, f"the keys are those of a {found} account, the BrokerAccount says {wanted.value}")
        return Finding(True, f"the keys read a {wanted.value} account")

    async def _account_stands(self) -> Finding:
        account = await self._read_account()
        if account.status != "ACTIVE":
            return Finding(False, f"the account's status is {account.status}: ask the broker")
        if account.blocks:
            return Finding(False, f"the account cannot trade: {', '.join(account.blocks)}")
        return Finding(True, "ACTIVE, nothing is blocked")

    async def _buying_power(self) -> Finding:
        account = await self._read_account()
        return Finding(
            account.buying_power >= self._capital,
            f"{account.buying_power:f} {account.currency} to buy for, {self._capital:f} needed",
        )

    async def _clock_skew(self) -> Finding:
        clock = await self._read_clock()
        if self._config.broker.provider is BrokerProvider.SIMULATOR:
            return Finding(True, "the simulator's clock is its own")
        skew = abs(clock.timestamp - self._machine_clock())
        seconds, most = skew / timedelta(seconds=1), LARGEST_CLOCK_SKEW / timedelta(seconds=1)
        return Finding(
            skew <= LARGEST_CLOCK_SKEW,
            f"{seconds:.1f} s between the broker's clock and the machine's, {most:.0f} allowed",
        )

    async def _symbols(self) -> Finding:
        symbols = self._config.symbols
        assets = await self._broker.assets(symbols)
        unknown = [symbol for symbol in symbols if symbol not in assets]
        barred = [symbol for symbol in symbols if symbol in assets and not assets[symbol].tradable]
        words = []
        if unknown:
            words.append(f"the broker does not know {_named(unknown)}")
        if barred:
            words.append(f"the broker does not trade {_named(barred)}")
        return Finding(not words, "; ".join(words) or f"all {len(symbols)} can be traded")

    async def _market_data(self) -> Finding:
        symbols, clock = self._config.symbols, await self._read_clock()
        bars = await self._broker.bars(symbols, self._config.timeframe.value, 1, clock.timestamp)
        missing = [symbol for symbol in symbols if symbol not in bars]
        if missing:
            quotes = await self._broker.quotes(missing)
            missing = [symbol for symbol in missing if symbol not in quotes]
        feed = self._config.broker.data_feed.value
        if missing:
            return Finding(False, f"feed {feed} has neither a bar nor a quote of {_named(missing)}")
        return Finding(True, f"feed {feed} has prices of all {len(symbols)}")

    async def _notices(self) -> Finding:
        channels = self._config.notices.channels
        if not channels:
            return Finding(True, "none configured")
        failures = []
        for channel in channels:
            try:
                await self._deliverer.deliver(self._test_notice(channel))
            except DeliveryFailed as error:
                failures.append(str(error))
        return Finding(not failures, "; ".join(failures) or f"a test arrived: {', '.join(channels)}")

    def _test_notice(self, channel: str) -> NoticeRecord:
        bot, now = self._config.bot, self._machine_clock()
        number = hashlib.sha256(f"{bot.uid} preflight {instant(now)}".encode()).hexdigest()[:16]
        payload = {
            "kind": "preflight",
            "message": f"a test before {bot.namespace}/{bot.name} trades live: nothing has to be done",
            "context": {"namespace": bot.namespace, "bot": bot.name, "account": self._config.broker.account},
        }
        return NoticeRecord(
            notice_id=f"{number}:{channel}",
            idempotency_key=f"{number}:{channel}",
            channel=channel,
            severity="info",
            payload=json.dumps(payload, sort_keys=True),
            created_at=now,
        )

    async def _read_account(self) -> BrokerAccount:
        if self._account is None:
            self._account = await self._broker.account()
        return self._account

    async def _read_clock(self) -> MarketClock:
        if self._clock is None:
            self._clock = await self._broker.clock()
        return self._clock


async def _found(look: Awaitable[Finding]) -> Finding:
    try:
        return await look
    except BrokerUnavailable as error:
        return Finding(False, f"no answer: {error}", is_answered=False)
    except BrokerError as error:
        return Finding(False, str(error))


def _named(symbols: Sequence[str]) -> str:
    more = len(symbols) - _SYMBOLS_NAMED
    return ", ".join(symbols[:_SYMBOLS_NAMED]) + (f" and {more} more" if more > 0 else "")
