"""The market that a configuration asks for: its prices, what is listed, what happens to it.

What only the calendar or the files can tell to be wrong is refused here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from alpaca_simulator.config import (
    AssetConfig,
    ConfigError,
    DividendConfig,
    SimulatorConfig,
    SplitConfig,
    SymbolChangeConfig,
)
from alpaca_simulator.market.assets import DEFAULT_CATALOGUE, Asset, AssetCatalogue
from alpaca_simulator.market.calendar import TradingCalendar
from alpaca_simulator.market.corporate_actions import (
    CashDividend,
    CorporateAction,
    CorporateActions,
    Split,
    SymbolChange,
)
from alpaca_simulator.market.halts import Halt, HaltBook
from alpaca_simulator.market.price_source import PriceSource
from alpaca_simulator.market.prices import Market
from alpaca_simulator.market.replay import ReplayedDays, ReplayedMinutes
from alpaca_simulator.market.replay_rows import ReplayError, Rows, merged, read_replay
from alpaca_simulator.values.instants import epoch_floor


def market_and_catalogue(config: SimulatorConfig, calendar: TradingCalendar) -> tuple[Market, AssetCatalogue]:
    """The prices and what is listed; raises ConfigError."""
    actions = corporate_actions(config, calendar)
    catalogue = DEFAULT_CATALOGUE.with_more(tuple(_asset(one) for one in config.assets))
    source: PriceSource | None = None
    try:
        if config.market.replay is not None:
            replay = config.market.replay
            rows = read_replay(replay.path, replay.timeframe, calendar, replay.rows_at_most)
            rows = _under_first_symbols(rows, actions)
            catalogue = _replayed(catalogue, rows)
            if replay.timeframe == "1Day":
                source = ReplayedDays(config.seed, calendar, actions, rows)
            else:
                source = ReplayedMinutes(calendar, actions, rows)
        catalogue = catalogue.with_changes(tuple(one for one in actions.listed if isinstance(one, SymbolChange)))
    except ReplayError as error:
        raise ConfigError(f"market.replay: {error}") from error
    except ValueError as error:
        raise ConfigError(f"corporate_actions: {error}") from error
    for what, symbols in (
        ("corporate_actions", [action.symbol for action in actions.listed]),
        ("halts", [halt.symbol for halt in config.halts]),
    ):
        for symbol in symbols:
            if catalogue.listed(symbol) is None:
                raise ConfigError(f"{what}: {symbol} is not listed")
    market = Market(
        config.seed,
        calendar,
        source=source,
        actions=actions,
        jumps_a_year=config.market.jumps_a_year,
        shows_extended_hours=config.market.extended_hours_bars,
    )
    return market, catalogue


def corporate_actions(config: SimulatorConfig, calendar: TradingCalendar) -> CorporateActions:
    """What will happen to the listed assets; raises ConfigError for a day on which there is no trading."""
    actions: list[CorporateAction] = []
    for number, one in enumerate(config.corporate_actions):
        if calendar.on(one.ex_date) is None:
            raise ConfigError(f"corporate_actions.{number}.ex_date: there is no trading on {one.ex_date}")
        match one:
            case SplitConfig():
                actions.append(Split(one.symbol, one.ex_date, one.new, one.old))
            case DividendConfig():
                if calendar.on(one.payable_date) is None:
                    raise ConfigError(
                        f"corporate_actions.{number}.payable_date: there is no trading on {one.payable_date}"
                    )
                actions.append(CashDividend(one.symbol, one.ex_date, one.payable_date, one.rate))
            case SymbolChangeConfig():
                actions.append(SymbolChange(one.symbol, one.ex_date, one.new_symbol))
    return CorporateActions(actions)


def halts_of(config: SimulatorConfig) -> HaltBook:
    """The halts known from the start."""
    return HaltBook(
        Halt(
            one.symbol,
            epoch_floor(one.since),
            None if one.until is None else epoch_floor(one.until),
            one.code,
            one.reason,
        )
        for one in config.halts
    )


def _asset(one: AssetConfig) -> Asset:
    return Asset(
        symbol=one.symbol,
        name=one.name or one.symbol,
        exchange=one.exchange,
        reference_cents=int(one.price * Decimal(100)),
        yearly_volatility=one.yearly_volatility,
        daily_volume=one.daily_volume,
        tradable=one.tradable,
        fractionable=one.fractionable,
        shortable=one.shortable,
        easy_to_borrow=one.easy_to_borrow,
        marginable=one.marginable,
        maintenance_margin=one.maintenance_margin,
        active=one.status == "active",
        attributes=one.attributes,
        sector=one.sector,
        market_loading=one.market_loading,
        sector_loading=one.sector_loading,
    )


def _under_first_symbols(rows: Mapping[str, Rows], actions: CorporateActions) -> dict[str, Rows]:
    """Rows under the first symbol of each asset: a file may have both the old and the new one."""
    together: dict[str, list[Rows]] = {}
    for symbol, one in rows.items():
        together.setdefault(actions.lineage(symbol)[0], []).append(one)
    return {symbol: parts[0] if len(parts) == 1 else merged(parts) for symbol, parts in together.items()}


def _replayed(catalogue: AssetCatalogue, rows: Mapping[str, Rows]) -> AssetCatalogue:
    """Only what is in the files is listed, as the catalogue has it where it has it."""
    listed = []
    for symbol, one in rows.items():
        cents, shares = int(one.open[0]), max(1, int(one.volume.mean()))
        known = catalogue.listed(symbol) or Asset(symbol, symbol, "NASDAQ", cents, 0.25, shares)
        listed.append(replace(known, reference_cents=cents, daily_volume=shares))
    return AssetCatalogue(tuple(listed))
