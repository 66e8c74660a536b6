"""BrokerAccount: one account at a broker, named by bots, holding a reference to keys and never the keys."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.conditions import Condition
from tradingbot_api.model import (
    Amount,
    ApiModel,
    LeveragePercent,
    ObjectName,
    ObservedModel,
    Percent,
    PositiveAmount,
    Symbol,
    cel,
)

_URL_PATTERN = r"^https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[-a-z0-9._/]*)?$"
Url = Annotated[str, Field(pattern=_URL_PATTERN, max_length=253)]


class BrokerProvider(StrEnum):
    """Who answers: Alpaca itself, or the simulator of this project."""

    ALPACA = "alpaca"
    SIMULATOR = "simulator"


class BrokerEnvironment(StrEnum):
    """Whose money: paper is the broker's play money, live is yours."""

    PAPER = "paper"
    LIVE = "live"


class DataFeed(StrEnum):
    """Alpaca's market data feeds."""

    IEX = "iex"
    SIP = "sip"


class SecretRef(ApiModel):
    """A Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret. It holds the keys APCA_API_KEY_ID and APCA_API_SECRET_KEY, and may hold WEBHOOK_TOKEN,
    SMTP_USERNAME and SMTP_PASSWORD for the notices of its bots."""


class AccountLimits(ApiModel):
    """Limits of the whole account, beside those of its bots. All but maxCapital are checked before every order, and a
    change of one restarts the account's bots."""

    max_capital: PositiveAmount | None = None
    """The most that spec.capital of all bots on the account may add up to. Bots come by age: where the sum of a bot's
    capital and its elders' is over it, the bot holds no pod and says CapitalExceeded. No limit when absent."""

    max_daily_loss_percent: Percent | None = None
    """Loss of the account since the last session's close, in percent of the equity then, after which its bots only
    reduce. No limit when absent."""
    max_exposure_percent: LeveragePercent | None = None
    """The most that all positions and open orders of the account may be worth, in percent of its equity. No limit
    when absent."""
    max_orders_per_minute: Annotated[int, Field(ge=1, le=200)] | None = None
    """Orders that one bot may send per minute, where that is less than the bot's own limit. No limit when absent."""


class BrokerAccountSpec(ApiModel):
    """What is asked of an account."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.provider != 'simulator' || has(self.baseURL)",
                    "baseURL: a simulator account needs the simulator's address, e.g. http://alpaca-simulator:8080",
                ),
                cel(
                    "!has(self.baseURL) || self.provider != 'alpaca' || self.environment != 'live'"
                    " || !self.baseURL.contains('paper')",
                    "baseURL: a live Alpaca account cannot use the paper endpoint;"
                    " set environment: paper or leave baseURL out",
                ),
                cel(
                    "!has(self.baseURL) || self.provider != 'alpaca' || self.environment != 'paper'"
                    " || self.baseURL.contains('paper')",
                    "baseURL: a paper Alpaca account cannot use a live endpoint;"
                    " set environment: live or leave baseURL out",
                ),
                cel(
                    "!has(self.baseURL) || self.provider != 'alpaca' || self.baseURL.startsWith('https://')",
                    "baseURL: keys are sent only over https to Alpaca",
                ),
                cel(
                    "self.environment == oldSelf.environment && self.provider == oldSelf.provider",
                    "provider and environment cannot be changed: make another BrokerAccount and name that",
                ),
            ]
        }
    )

    provider: BrokerProvider
    """alpaca or simulator. Immutable."""
    environment: BrokerEnvironment
    """paper or live. Immutable: an account never turns from play money to real money."""
    credentials_secret_ref: SecretRef
    """The Secret with the account's keys. Only granted pods get it; the operator cannot read it."""
    base_url: Annotated[Url | None, Field(alias="baseURL")] = None
    """The trading API. Default: Alpaca's address for the environment; needed for the simulator."""
    data_url: Annotated[Url | None, Field(alias="dataURL")] = None
    """The market data API. Default: Alpaca's, or the simulator's baseURL."""
    data_feed: DataFeed = DataFeed.IEX
    """Market data feed: iex (free) or sip."""
    limits: AccountLimits = AccountLimits()
    """Limits of the whole account."""


class SymbolOwner(ObservedModel):
    """Which bot owns a symbol of this account."""

    symbol: Symbol
    """The symbol."""
    bot: ObjectName
    """The bot that owns it: the eldest that asked."""


class BrokerAccountStatus(ObservedModel):
    """What was observed of an account."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation this status was computed from."""
    bots: Annotated[list[ObjectName], Field(max_length=1000)] = Field(default_factory=list)
    """Names of the bots that use the account."""
    symbols: Annotated[list[SymbolOwner], Field(max_length=1000)] = Field(default_factory=list)
    """Who owns which symbol; one symbol of an account belongs to one bot."""
    committed_capital: Amount | None = None
    """What spec.capital of the bots that trade on the account adds up to."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field(default_factory=list)
    """Connected: as last reported by a bot. Killed: the kill annotation is present."""


class BrokerAccount(ApiModel):
    """One account at a broker; bots name it, only its owner role may make it."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: BrokerAccountSpec
    status: BrokerAccountStatus = BrokerAccountStatus()


class BrokerUse(ApiModel):
    """The BrokerAccounts a bot trades on, by name, in the bot's namespace."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(self.live) || self.live != self.paper",
                    "live and paper must be different BrokerAccounts: one environment is not the other",
                )
            ]
        }
    )

    paper: ObjectName
    """BrokerAccount used on paper. A bot whose volume knows another account's books halts: for another account make
    another bot."""
    live: ObjectName | None = None
    """BrokerAccount used when live trading is granted. Cannot be changed while the bot is live."""
