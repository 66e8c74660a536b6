"""Bars for a validation from the broker's market data, read as the bot reads them: paging, feed and adjustment are its.

Only asks, symbol by symbol, each request with its own timeout. Must never repair a bar, nor take a part for the whole.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from tradingbot_api import Timeframe

if TYPE_CHECKING:
    import pandas as pd

    from tradingbot_research.bars_files import BarsRead
    from tradingbot_runtime.broker.alpaca import AlpacaBroker
    from tradingbot_runtime.commands.inputs import Keys
    from tradingbot_runtime.commands.research_config import BrokerResearchConfig

MINUTES_OF_A_SESSION: Final = 390
_SECONDS_A_SYMBOL: Final = 600.0
"""A million bars are a hundred pages; a broker that trickles them is not waited for longer."""

Told = Callable[[str, int, int], None]


def read_broker_bars(config: "BrokerResearchConfig", keys: "Keys", days: int, told: Told) -> "BarsRead":
    """The bars of the config's symbols in the last `days` sessions that ended.

    `told` is told of the step, how many symbols are done, and how many there are. Raises BarsUnusable where they have a
    defect or are too many to be read whole, and BrokerError where the broker refuses or does not answer.
    """
    from tradingbot_research.bars_files import BarsUnusable, checked
    from tradingbot_runtime.broker.port import BrokerUnavailable

    try:
        frames = asyncio.run(_read(config, keys, days, told))
    except BrokerUnavailable as error:
        if error.may_pass:
            raise
        raise BarsUnusable(f"{config.broker.account}: {error}") from error
    source = f"{config.broker.provider.value} {config.broker.data_feed.value}, adjusted for splits"
    return checked(frames, config.symbols, config.broker.account, (source,))


async def _read(config: "BrokerResearchConfig", keys: "Keys", days: int, told: Told) -> "Mapping[str, pd.DataFrame]":
    from tradingbot_runtime.commands.brokers import broker_of

    with broker_of(config.broker, keys, config.bot.uid, "paper") as broker:
        return await _frames(broker, config, days, told)


async def _frames(
    broker: "AlpacaBroker", config: "BrokerResearchConfig", days: int, told: Told
) -> "Mapping[str, pd.DataFrame]":
    from tradingbot_runtime.broker.port import BrokerUnavailable

    count, frames = days * bars_of_a_session(config.timeframe), dict[str, "pd.DataFrame"]()
    now = (await broker.clock()).timestamp
    for number, symbol in enumerate(config.symbols):
        told("bars", number, len(config.symbols))
        try:
            async with asyncio.timeout(_SECONDS_A_SYMBOL):
                frames.update(await broker.bars([symbol], config.timeframe.value, count, now))
        except TimeoutError as error:
            raise BrokerUnavailable(f"bars of {symbol} did not come within {_SECONDS_A_SYMBOL:g} s") from error
    told("bars", len(config.symbols), len(config.symbols))
    return frames


def bars_of_a_session(timeframe: Timeframe) -> int:
    """How many bars a full session has."""
    from tradingbot_runtime.core.quality import BAR_MINUTES

    minutes = BAR_MINUTES.get(timeframe)
    return 1 if minutes is None else -(-MINUTES_OF_A_SESSION // minutes)
