"""What a simulator is made of: seed, clock, accounts and assets, from a YAML or JSON file.

Unknown fields are errors: a misspelt one must never silently mean the default.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

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


class AssetConfig(_Strict):
    """A symbol to list besides the built-in ones, or in place of one."""

    symbol: str = Field(pattern=r"^[A-Z][A-Z0-9.]{0,9}$")
    name: str = ""
    exchange: Literal["AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "OTC"] = "NASDAQ"
    price: Decimal = Field(default=Decimal(100), ge=5, le=100_000, description="dollars, where its walk starts")
    yearly_volatility: float = Field(default=0.25, ge=0.01, le=2, description="0.25 is 25 % a year")
    daily_volume: int = Field(default=5_000_000, ge=10_000, le=10**10, description="shares")
    tradable: bool = True
    fractionable: bool = True


class LimitsConfig(_Strict):
    """Bounds on what grows; over them the oldest is forgotten or the newest refused."""

    orders_kept: int = Field(default=10_000, ge=10, le=1_000_000, description="an account")
    open_orders: int = Field(default=2_000, ge=1, le=100_000, description="an account")
    orders_ever: int = Field(default=1_000_000, ge=1, le=10**8, description="an account")
    requests_kept: int = Field(default=10_000, ge=1, le=1_000_000, description="an account, in the admin's log")
    updates_per_socket: int = Field(default=10_000, ge=1, le=1_000_000, description="waiting for a slow client")
    sockets: int = Field(default=2_000, ge=1, le=100_000, description="open streams at once")


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
    partial_fill_probability: float = Field(default=0, ge=0, le=0.95)
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _distinct(self) -> SimulatorConfig:
        for what, values in (
            ("account name", [account.name for account in self.accounts]),
            ("key_id", [account.key_id for account in self.accounts]),
            ("asset symbol", [asset.symbol for asset in self.assets]),
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
