"""KillRecord: one kill of a bot, written only by the operator: the latch that outlives the bot it stopped.

`spec` is what was asked and never changes; `status` is how far the broker has confirmed it, and who released it. As
long as nobody has, every bot of that name is killed, the next one of the same name included.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.model import ApiModel, ObjectName, ObservedModel, cel
from tradingbot_api.promotion_evidence import BotRef
from tradingbot_api.promotion_status import UsedApproval
from tradingbot_api.runtime_report import Text, Time
from tradingbot_api.tradingbot import Mode, OnKill

KillEpoch = Annotated[int, Field(ge=1)]


class KillScope(StrEnum):
    """Where the kill was asked for."""

    TRADING_BOT = "TradingBot"
    """By the annotation on the bot."""
    BROKER_ACCOUNT = "BrokerAccount"
    """By the annotation on one of its accounts."""
    FILE = "File"
    """By the control file on the bot's volume."""
    CONTROL_PLANE = "ControlPlane"
    """By the bot itself, with onControlPlaneLoss: Flatten, because it could not have seen a kill."""


class ConfirmedBy(StrEnum):
    """Who asked the broker until it answered."""

    BOT = "Bot"
    """The bot's own pod."""
    FLATTEN_JOB = "FlattenJob"
    """A Job with the bot's keys, because no pod answered."""


class KillRecordSpec(ApiModel):
    """What was asked, of which bot, by whom and when."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [cel("self == oldSelf", "a kill is never changed")]}
    )

    bot_ref: BotRef
    """The bot that was killed. A later bot of its name is killed as well, until this epoch is released."""
    epoch: KillEpoch
    """Number of the kill: one more with each of a bot of this name."""
    scope: KillScope
    """Where it was asked for: TradingBot, BrokerAccount, File or ControlPlane."""
    account: ObjectName | None = None
    """The BrokerAccount that carries the annotation; absent where the bot itself does."""
    mode: Mode
    """What the bot was: paper or live."""
    on_kill: OnKill
    """What it does beyond stopping new exposure."""
    reason: Text = ""
    """The annotation's value."""
    requested_by: Annotated[str, Field(max_length=128)] = ""
    """The client that wrote the annotation, as metadata.managedFields names it; the person is in the API server's audit
    log, which alone knows."""
    requested_at: Time | None = None
    """When the annotation was written, to the second, as metadata.managedFields says."""
    observed_at: Time
    """When the operator saw it; the bot sees it by itself."""


class KillRequested(ObservedModel):
    """An annotation that asked again for a kill that was already in force."""

    scope: KillScope
    """What carries it."""
    name: ObjectName
    """Its name."""
    reason: Text = ""
    """The annotation's value."""
    observed_at: Time
    """When the operator saw it."""


class KillRecordStatus(ObservedModel):
    """How far it is. A time is there only once the broker itself confirmed the step."""

    acknowledged_at: Time | None = None
    """When the bot stopped opening exposure."""
    orders_cancelled_at: Time | None = None
    """When the broker confirmed that no order of the bot is open."""
    flat_at: Time | None = None
    """With onKill: Flatten, when the broker confirmed that no position of the bot is left."""
    open_orders: Annotated[int, Field(ge=0)] | None = None
    """Orders of the bot that the broker last said are open."""
    open_positions: Annotated[int, Field(ge=0)] | None = None
    """Positions of the bot that the broker last said are held."""
    confirmed_by: ConfirmedBy | None = None
    """Who asked the broker: Bot or FlattenJob."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """Flatten Jobs that were made because no pod answered."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What it waits for, or how it ended."""
    requested_again: KillRequested | None = None
    """The last annotation that asked for something else than spec says. An Approval that is older does not know of it,
    and releases nothing."""
    released_at: Time | None = None
    """When it was released; absent while it is in force."""
    released_by: UsedApproval | None = None
    """The Approval that released it."""


class KillRecord(ApiModel):
    """One kill of a bot."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: KillRecordSpec
    status: KillRecordStatus | None = None
