"""The bot's config file: the operator writes it into a ConfigMap, the runtime reads it. Holds no key."""

import uuid
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tradingbot_api.broker_account import AccountLimits, BrokerEnvironment, BrokerProvider, DataFeed, Url
from tradingbot_api.model import ApiModel, ObjectName, PositiveAmount, Symbol
from tradingbot_api.runtime_report import Text
from tradingbot_api.tradingbot import (
    DataQualitySpec,
    ExecutionSpec,
    Mode,
    NoticesSpec,
    OnControlPlaneLoss,
    OnDelete,
    OnKill,
    RiskLimits,
    StrategySpec,
    Timeframe,
)

_SOLO_NAMESPACE = uuid.UUID("6f5f3f0c-3a3a-5b61-9a55-0d1de6b7a3a4")


class BotIdentity(ApiModel):
    """Who this bot is. The UID makes its orders' ids unique for ever at the broker."""

    namespace: ObjectName = "local"
    """Namespace of the TradingBot; `local` for a bot without Kubernetes."""
    name: ObjectName
    """Name of the TradingBot."""
    uid: Annotated[str, Field(min_length=1, max_length=36, pattern=r"^[0-9a-z-]+$")] = ""
    """UID of the TradingBot; made from the name for a bot without Kubernetes."""

    @model_validator(mode="before")
    @classmethod
    def _uid_of_a_solo_bot(cls, data: object) -> object:
        if isinstance(data, dict) and not data.get("uid") and data.get("name"):
            return {**data, "uid": str(uuid.uuid5(_SOLO_NAMESPACE, str(data["name"])))}
        return data


class BrokerEndpoint(ApiModel):
    """Where the broker is. The keys come from the environment: APCA_API_KEY_ID, APCA_API_SECRET_KEY."""

    account: ObjectName
    """Name of the BrokerAccount."""
    provider: BrokerProvider
    """alpaca or simulator."""
    environment: BrokerEnvironment
    """paper or live."""
    base_url: Annotated[Url, Field(alias="baseURL")]
    """The trading API; its `/stream` is the trade updates' socket."""
    data_url: Annotated[Url, Field(alias="dataURL")]
    """The market data API."""
    data_feed: DataFeed = DataFeed.IEX
    """Market data feed."""
    clock_poll_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How often the broker's clock is read, in seconds of machine time; short where its clock runs fast."""


class GrantRef(ApiModel):
    """The grant that a live bot was started under. It trades only while its TradingBot's status.grant says the same."""

    subject_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
    """What may trade."""
    epoch: Annotated[int, Field(ge=1)]
    """Number of the grant."""


class KillRef(ApiModel):
    """A kill in force that the bot did not see itself: its annotation is gone, or it was asked of a bot before it."""

    epoch: Annotated[int, Field(ge=1)]
    """Number of the kill: one more than the config's epoch."""
    reason: Text = ""
    """Why."""


class RuntimeConfig(ApiModel):
    """Everything one bot is told at its start."""

    api_version: Literal["tradingbots.dev/v1alpha1"] = "tradingbots.dev/v1alpha1"
    kind: Literal["RuntimeConfig"] = "RuntimeConfig"
    bot: BotIdentity
    """Who this bot is."""
    mode: Mode = Mode.PAPER
    """What the bot is, decided by the operator. Live needs a grant that the runtime checks itself."""
    grant: GrantRef | None = None
    """Live: the grant. On paper there is none."""
    epoch: Annotated[int, Field(ge=0)] = 0
    """Number of the last kill that was released, 0 where there was none; part of every order's id. A kill of this
    number or a lower one that is still on the volume is over; the next is of the number after it."""
    killed: KillRef | None = None
    """The kill in force, where the bot has to be told of it; it starts killed."""
    strategy: StrategySpec
    """What decides the bot's targets."""
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=100)]
    """What the bot may trade."""
    timeframe: Timeframe = Timeframe.DAY_1
    """Length of the bars."""
    capital: PositiveAmount
    """The most this bot may hold, in account currency."""
    risk: RiskLimits = RiskLimits()
    """Limits checked before every order."""
    account_limits: AccountLimits = AccountLimits()
    """Limits of the whole account."""
    execution: ExecutionSpec = ExecutionSpec()
    """How targets become orders."""
    data_quality: DataQualitySpec = DataQualitySpec()
    """When bars and quotes are not trusted."""
    notices: NoticesSpec = NoticesSpec()
    """Who is told of incidents."""
    on_kill: OnKill = OnKill.CANCEL_ORDERS
    """What a kill does."""
    on_delete: OnDelete = OnDelete.CANCEL_ORDERS
    """What a deletion does."""
    on_control_plane_loss: OnControlPlaneLoss = OnControlPlaneLoss.REDUCE
    """What the bot does when it cannot see its own TradingBot for 5 minutes."""
    broker: BrokerEndpoint
    """Where the broker is."""

    @model_validator(mode="after")
    def _live_names_its_grant(self) -> Self:
        if (self.mode is Mode.LIVE) != (self.grant is not None):
            raise ValueError("grant: mode live needs one, and mode paper has none")
        return self

    @model_validator(mode="after")
    def _killed_is_the_next_epoch(self) -> Self:
        if self.killed is not None and self.killed.epoch <= self.epoch:
            raise ValueError("killed: its epoch is released already, by the config's own")
        return self
