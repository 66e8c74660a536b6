"""`tradingbot preflight`: the last look at an account before a bot may trade real money on it."""

import asyncio
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradingbot_runtime.commands.endings import (
    EX_TEMPFAIL,
    MAX_LAST_WORDS_BYTES,
    WrongConfig,
    leave_last_words,
    refusals,
)
from tradingbot_runtime.commands.inputs import Config, Keys, keys_in, read_document

if TYPE_CHECKING:
    from tradingbot_runtime.commands.account_config import PreflightConfig
    from tradingbot_runtime.commands.preflighting import Preflighted

NOT_READY = 1


def preflight(
    config: Config,
    capital: Annotated[
        str | None,
        typer.Option(
            help="What the account must be able to buy for, such as the cap of a gate's first stage."
            " Without it: the config's capital."
        ),
    ] = None,
) -> None:
    """Look at the account of a config before a bot trades on it: nothing is ordered, nothing is changed.

    Keys: the account can be read, and its number is that of the environment that the config says: paper keys for a
    live account are refused, and the reverse. Account: active, nothing blocked. BuyingPower: at least the capital.
    ClockSkew: the broker's clock is at most 5 s from the machine's; a simulator's clock is its own. Symbols: each is
    known and traded. MarketData: each has a bar or a quote. Notices: a test arrives at the webhook and the mailbox of
    the config, where there are any.

    Of the config only bot, symbols, timeframe, capital, notices and broker count; no grant is needed. Keys come from
    APCA_API_KEY_ID and APCA_API_SECRET_KEY, what sends notices from WEBHOOK_TOKEN, SMTP_USERNAME and SMTP_PASSWORD.

    The result, a PreflightReport, is printed as JSON and goes, in at most 4096 bytes, to $TERMINATION_MESSAGE_PATH.

    Exit codes: 0 all is as it should be; 1 something is not, and is named; 75 the broker does not answer, and what it
    did answer is right: try again; 78 config, keys or options are wrong.

    Try it:  tradingbot preflight --config bot.yaml --capital 1000
    """
    with refusals(last_words=True):
        checked, found = _looked_at(config, capital)
    document = shortened(checked, found)
    typer.echo(document)
    leave_last_words(document)
    for name, one in found.findings.items():
        typer.echo(f"{'passed' if one.passed else 'FAILED'} {name}: {one.message}", err=True)
    if found.has_failed:
        raise typer.Exit(NOT_READY)
    if found.is_unanswered:
        raise typer.Exit(EX_TEMPFAIL)


def shortened(config: "PreflightConfig", found: "Preflighted", most_bytes: int = MAX_LAST_WORDS_BYTES) -> str:
    """The report as JSON in so many bytes: with shorter and shorter messages, but every check."""
    lengths = (256, 128, 64, 0)
    documents = (found.report(config, length).model_dump_json(by_alias=True) for length in lengths)
    return next(document for document in documents if len(document.encode()) <= most_bytes)


def _looked_at(path: Path, capital: str | None) -> "tuple[PreflightConfig, Preflighted]":
    from tradingbot_runtime.commands.account_config import PreflightConfig
    from tradingbot_runtime.ops import logs

    wanted = None if capital is None else _amount(capital)
    checked, keys = read_document(path, PreflightConfig), keys_in(os.environ)
    logs.configure(checked.bot.name, checked.bot.namespace)
    return checked, asyncio.run(_preflighted(checked, keys, wanted))


async def _preflighted(checked: "PreflightConfig", keys: Keys, capital: Decimal | None) -> "Preflighted":
    from tradingbot_runtime.commands.brokers import broker_of
    from tradingbot_runtime.commands.preflighting import Preflight
    from tradingbot_runtime.ops.notices import Deliverer, NoticeSecrets

    deliverer = Deliverer(checked.notices, NoticeSecrets.of(os.environ))
    with broker_of(checked.broker, keys, checked.bot.uid, checked.broker.environment.value) as broker:
        return await Preflight(checked, broker, deliverer, lambda: datetime.now(UTC), capital=capital).run()


def _amount(text: str) -> Decimal:
    from pydantic import TypeAdapter, ValidationError

    from tradingbot_api.model import PositiveAmount

    try:
        amount: Decimal = TypeAdapter(PositiveAmount).validate_python(text)
    except ValidationError as error:
        raise WrongConfig("InvalidOptions", f"--capital {text}: write an amount such as 1000") from error
    return amount
