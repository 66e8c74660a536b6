"""Bars for a validation from the broker's market data, read as the bot reads them: paging, feed and adjustment are its.

Only asks, symbol by symbol, each request with its own timeout. Must never repair a bar, nor take a part for the whole.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tradingbot_api import Timeframe

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from tradingbot_research.bars_files import BarsRead
    from tradingbot_runtime.broker.alpaca import AlpacaBroker
    from tradingbot_runtime.commands.cached_bars import CachedBars
    from tradingbot_runtime.commands.inputs import Keys
    from tradingbot_runtime.commands.research_config import BrokerResearchConfig

MINUTES_OF_A_SESSION: Final = 390
_ADJUSTED: Final = "split"
"""As `broker.market_data` asks for bars, and as bars of the cache are told from others."""
_SECONDS_A_SYMBOL: Final = 600.0
"""A million bars are a hundred pages; a broker that trickles them is not waited for longer."""

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What is to be read, and whom to tell."""

    days: int
    """Of the last so many sessions that ended."""
    told: Told
    """Told of a step, how much of it is done, and how much there is."""
    cache: "Path | None" = None
    """Folder of bars that were read before; None: the broker is asked for all."""
    said: Callable[[str], None] = lambda words: None
    """Told in words what came of the cache."""


def read_broker_bars(config: "BrokerResearchConfig", keys: "Keys", asked: Asked) -> "BarsRead":
    """The bars of the config's symbols.

    The same with a cache as without. Raises BarsUnusable where they have a defect or are too many to be read whole, and
    BrokerError where the broker refuses or does not answer.
    """
    from tradingbot_research.bars_files import BarsUnusable, checked
    from tradingbot_research.doubts import Adjustment
    from tradingbot_runtime.broker.port import BrokerUnavailable

    try:
        frames = asyncio.run(_read(config, keys, asked))
    except BrokerUnavailable as error:
        if error.may_pass:
            raise
        raise BarsUnusable(f"{config.broker.account}: {error}") from error
    source = f"{config.broker.provider.value} {config.broker.data_feed.value}, adjusted for splits"
    return checked(frames, config.symbols, config.broker.account, (source,), Adjustment.SPLITS)


async def _read(config: "BrokerResearchConfig", keys: "Keys", asked: Asked) -> "Mapping[str, pd.DataFrame]":
    from tradingbot_runtime.commands.brokers import broker_of

    with broker_of(config.broker, keys, config.bot.uid, "paper") as broker:
        return await _frames(broker, config, asked)


async def _frames(broker: "AlpacaBroker", config: "BrokerResearchConfig", asked: Asked) -> "Mapping[str, pd.DataFrame]":
    from tradingbot_runtime.broker.port import BrokerUnavailable

    count, frames = asked.days * bars_of_a_session(config.timeframe), dict[str, "pd.DataFrame"]()
    now = (await broker.clock()).timestamp

    async def ask(symbol: str, most: int, before: datetime) -> "pd.DataFrame | None":
        return (await broker.bars([symbol], config.timeframe.value, most, before)).get(symbol)

    cached = _cached(config, asked, ask, now)
    for number, symbol in enumerate(config.symbols):
        asked.told("bars", number, len(config.symbols))
        try:
            async with asyncio.timeout(_SECONDS_A_SYMBOL):
                found = await (ask(symbol, count, now) if cached is None else cached.last(symbol, count))
        except TimeoutError as error:
            raise BrokerUnavailable(f"bars of {symbol} did not come within {_SECONDS_A_SYMBOL:g} s") from error
        if found is not None:
            frames[symbol] = found
    asked.told("bars", len(config.symbols), len(config.symbols))
    if cached is not None:
        cached.close()
        asked.said(
            f"cache: {asked.cache}: {cached.spared.bars} bars of {cached.spared.symbols} of {len(config.symbols)}"
            " symbols were there already"
        )
    return frames


def _cached(
    config: "BrokerResearchConfig",
    asked: Asked,
    ask: "Callable[[str, int, datetime], Awaitable[pd.DataFrame | None]]",
    now: datetime,
) -> "CachedBars | None":
    if asked.cache is None:
        return None
    from tradingbot_research.bars_cache import BarsCache, Series
    from tradingbot_runtime.commands.cached_bars import CachedBars

    broker = config.broker
    source = f"{broker.provider.value} {broker.data_url}"
    like = Series(source, broker.data_feed.value, _ADJUSTED, config.timeframe.value, symbol="")
    return CachedBars(BarsCache(asked.cache), like, ask, now, asked.said)


def bars_of_a_session(timeframe: Timeframe) -> int:
    """How many bars a full session has."""
    from tradingbot_runtime.core.quality import BAR_MINUTES

    minutes = BAR_MINUTES.get(timeframe)
    return 1 if minutes is None else -(-MINUTES_OF_A_SESSION // minutes)
