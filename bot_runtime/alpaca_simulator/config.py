"""What a simulator is made of: seed, clock, accounts and assets, from a YAML or JSON file.

Unknown fields are errors: a misspelt one must never silently mean the default.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

#: A Monday five minutes before the open, in New York's winter.
DEFAULT_START = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
LARGEST_CONFIG_BYTES = 4 * 1024 * 1024


class ConfigError(ValueError):
    """The configuration cannot be read; the message says where and what to change."""


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("needs an offset, such as 2026-03-02T09:25:00-05:00")
    return at.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_aware)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9.]{0,9}$")]
Rate = Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=6, allow_inf_nan=False)]
Cash = Annotated[Decimal, Field(ge=0, le=10**12, decimal_places=2, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockConfig(_Strict):
    """How market time moves."""

    mode: Literal["real", "scaled", "stepped"] = Field(
        default="scaled",
        description="real: the wall's time; scaled: faster than life; stepped: by the caller",
    )
    start: Instant = Field(default=DEFAULT_START, description="market time at the start (not for real)")
    speed: float = Field(default=60, gt=0, le=1_000_000, description="market seconds a machine second (scaled)")
    skip_closed: bool = Field(default=True, description="jump over nights, weekends and holidays (scaled)")
    minutes_before_open: float = Field(default=5, ge=0, le=240, description="where a jump lands")
    minutes_after_close: float = Field(default=5, ge=0, le=240, description="where a jump begins")


class AccountConfig(_Strict):
    """An account and the keys that open it."""

    name: Name
    kind: Literal["paper", "live"] = "paper"
    key_id: str = Field(min_length=1, max_length=128)
    secret_key: SecretStr = Field(min_length=1, max_length=128)
    cash: Cash = Decimal(100_000)
    margin_multiplier: Literal[1, 2, 4] = Field(default=1, description="1 is a cash account")
    shorting: bool = Field(default=False, description="may sell short; needs a margin_multiplier of 2 or 4")

    @model_validator(mode="after")
    def _shorts_on_margin(self) -> AccountConfig:
        if self.shorting and self.margin_multiplier == 1:
            raise ValueError("shorting needs a margin_multiplier of 2 or 4")
        return self


class AssetConfig(_Strict):
    """A symbol to list besides the built-in ones, or in place of one."""

    symbol: Symbol
    name: str = ""
    exchange: Literal["AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "OTC"] = "NASDAQ"
    price: Decimal = Field(default=Decimal(100), ge=5, le=100_000, description="dollars, where its walk starts")
    yearly_volatility: float = Field(default=0.25, ge=0.01, le=2, description="0.25 is 25 % a year")
    daily_volume: int = Field(default=5_000_000, ge=10_000, le=10**10, description="shares")
    tradable: bool = True
    fractionable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    marginable: bool = True
    maintenance_margin: int = Field(default=30, ge=0, le=1_000, description="percent")
    status: Literal["active", "inactive"] = "active"
    attributes: tuple[str, ...] = Field(default=(), max_length=20)
    sector: str = Field(default="", max_length=40, description="symbols of one sector move together")
    market_loading: float = Field(default=0.5, ge=-1, le=1, description="correlation with the market's shocks")
    sector_loading: float = Field(default=0.4, ge=-1, le=1, description="correlation with its sector's shocks")

    @model_validator(mode="after")
    def _loadings_fit(self) -> AssetConfig:
        if self.market_loading**2 + self.sector_loading**2 > 1:
            raise ValueError("the squares of market_loading and sector_loading add up to more than 1")
        return self


class ReplayConfig(_Strict):
    """Prices from files in place of the seed's."""

    path: Path = Field(description="a .csv or .parquet file, or a directory of them")
    timeframe: Literal["1Day", "1Min"] = Field(default="1Day", description="what one row is")
    rows_at_most: int = Field(default=5_000_000, ge=1, le=100_000_000)


class MarketConfig(_Strict):
    """Where prices come from and what is shown of them."""

    jumps_a_year: float = Field(default=1, ge=0, le=100, description="sudden moves inside a session, a symbol")
    extended_hours_bars: bool = Field(default=False, description="intraday bars before the open and after the close")
    replay: ReplayConfig | None = None


class SplitConfig(_Strict):
    """`new` shares for every `old` ones."""

    type: Literal["split"]
    symbol: Symbol
    ex_date: date
    new: Rate
    old: Rate = Decimal(1)


class DividendConfig(_Strict):
    """A cash dividend of `rate` dollars a share."""

    type: Literal["dividend"]
    symbol: Symbol
    ex_date: date
    payable_date: date
    rate: Rate

    @model_validator(mode="after")
    def _paid_afterwards(self) -> DividendConfig:
        if self.payable_date < self.ex_date:
            raise ValueError("payable_date is before ex_date")
        return self


class SymbolChangeConfig(_Strict):
    """From `ex_date` on `symbol` is called `new_symbol`."""

    type: Literal["symbol_change"]
    symbol: Symbol
    ex_date: date
    new_symbol: Symbol


CorporateActionConfig = Annotated[SplitConfig | DividendConfig | SymbolChangeConfig, Field(discriminator="type")]


class HaltConfig(_Strict):
    """A symbol does not trade between two times; without `until` it never does again."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    symbol: Symbol
    since: Instant = Field(alias="from")
    until: Instant | None = None
    code: str = Field(default="T1", min_length=1, max_length=10)
    reason: str = Field(default="Halt News Pending", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _in_order(self) -> HaltConfig:
        if self.until is not None and self.until <= self.since:
            raise ValueError("until is not after from")
        return self


class ExchangeConfig(_Strict):
    """How orders are acknowledged and filled; every delay in milliseconds of market time, 0 is at once."""

    fill_size_limit: bool = Field(default=False, description="a quote fills at most its size a second")
    new_delay_milliseconds: int = Field(default=0, ge=0, le=600_000, description="how long an order is pending_new")
    cancel_delay_milliseconds: int = Field(default=0, ge=0, le=600_000, description="... is pending_cancel")
    replace_delay_milliseconds: int = Field(default=0, ge=0, le=600_000, description="... is pending_replace")


class LimitsConfig(_Strict):
    """Bounds on what grows; over them the oldest is forgotten or the newest refused."""

    orders_kept: int = Field(default=10_000, ge=10, le=1_000_000, description="an account")
    open_orders: int = Field(default=2_000, ge=1, le=100_000, description="an account")
    orders_ever: int = Field(default=1_000_000, ge=1, le=10**8, description="an account")
    requests_kept: int = Field(default=10_000, ge=1, le=1_000_000, description="an account, in the admin's log")
    updates_per_socket: int = Field(default=10_000, ge=1, le=1_000_000, description="waiting for a slow client")
    sockets: int = Field(default=2_000, ge=1, le=100_000, description="open streams at once")
    requests_per_minute: int = Field(
        default=200, ge=0, le=1_000_000, description="an account, to each of the trading and data API; 0 is no limit"
    )


class StateConfig(_Strict):
    """Where the state is kept across restarts, and how surely."""

    directory: Path = Field(description="made when it is missing; one process at a time")
    fsync: bool = Field(default=True, description="answer only when it is on the disk; false survives kill -9 only")
    snapshot_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1_000, le=2**40, description="a longer log is replaced by a snapshot"
    )


def _state_directory(given: object) -> object:
    return {"directory": given} if isinstance(given, str | Path) else given


class MarketDataStreamConfig(_Strict):
    """What each key may have of the market data stream."""

    plan: Literal["free", "unlimited"] = Field(
        default="free", description="free: IEX and delayed SIP, 30 symbols with trades or quotes; unlimited: all"
    )
    connections: int = Field(default=1, ge=1, le=1_000, description="to one feed at once")


class FaultsConfig(_Strict):
    """What goes wrong, and when."""

    scenario: Path | None = Field(default=None, description="YAML file of faults and interventions at market times")


DEMO_ACCOUNTS = (
    AccountConfig(name="paper", kind="paper", key_id="PKDEMOPAPER", secret_key=SecretStr("demo-paper-secret")),
    AccountConfig(name="live", kind="live", key_id="AKDEMOLIVE", secret_key=SecretStr("demo-live-secret")),
)


class SimulatorConfig(_Strict):
    """Everything a simulator is made of; the default has one paper and one live account with demo keys."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    clock: ClockConfig = ClockConfig()
    accounts: tuple[AccountConfig, ...] = Field(default=DEMO_ACCOUNTS, min_length=1, max_length=10_000)
    assets: tuple[AssetConfig, ...] = Field(default=(), max_length=10_000)
    market: MarketConfig = MarketConfig()
    corporate_actions: tuple[CorporateActionConfig, ...] = Field(default=(), max_length=10_000)
    halts: tuple[HaltConfig, ...] = Field(default=(), max_length=10_000)
    partial_fill_probability: float = Field(default=0, ge=0, le=0.95)
    exchange: ExchangeConfig = ExchangeConfig()
    limits: LimitsConfig = LimitsConfig()
    market_data_stream: MarketDataStreamConfig = MarketDataStreamConfig()
    faults: FaultsConfig = FaultsConfig()
    state: Annotated[StateConfig | None, BeforeValidator(_state_directory)] = Field(
        default=None, description="a directory, or its settings; without it a restart begins anew"
    )

    @model_validator(mode="after")
    def _distinct(self) -> SimulatorConfig:
        for what, values in (
            ("account name", [account.name for account in self.accounts]),
            ("key_id", [account.key_id for account in self.accounts]),
            ("asset symbol", [asset.symbol for asset in self.assets]),
            (
                "corporate action",
                [f"{action.type} of {action.symbol} on {action.ex_date}" for action in self.corporate_actions],
            ),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ValueError(f"{what} used twice: {', '.join(sorted(twice))}")
        return self


def read_config(path: Path) -> SimulatorConfig:
    """The configuration in a YAML or JSON file; raises ConfigError."""
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise ConfigError(f"{path}: over {LARGEST_CONFIG_BYTES} bytes")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_config({} if content is None else content, str(path))


def parse_config(content: object, source: str) -> SimulatorConfig:
    """The configuration in already parsed content; raises ConfigError that names `source` and each field."""
    try:
        return SimulatorConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'file'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise ConfigError(f"{source}: {problems}") from error
