"""TradingBot: one strategy on one account, run as one pod. `spec` is asked for, `status` is observed."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tradingbot_api.broker_account import BrokerUse
from tradingbot_api.conditions import Condition
from tradingbot_api.model import (
    ApiModel,
    ObjectName,
    ObservedModel,
    Percent,
    PositiveAmount,
    QuantityString,
    Symbol,
    cel,
)
from tradingbot_api.promotion_evidence import Sha256
from tradingbot_api.promotion_status import DemotionReport, Grant, PromotionStatus
from tradingbot_api.runtime_report import (
    AccountReport,
    KillReport,
    OrderReport,
    PositionReport,
    ReconciliationReport,
    TradingState,
)

_KEY_VALUE = {"maxProperties": 32}


class Mode(StrEnum):
    """Paper or live."""

    PAPER = "paper"
    LIVE = "live"


class Timeframe(StrEnum):
    """Length of the bars a strategy sees."""

    MIN_1 = "1Min"
    MIN_5 = "5Min"
    MIN_15 = "15Min"
    HOUR_1 = "1Hour"
    DAY_1 = "1Day"


class OnKill(StrEnum):
    """What a kill does beyond stopping new exposure."""

    CANCEL_ORDERS = "CancelOrders"
    FLATTEN = "Flatten"


class OnDelete(StrEnum):
    """What deleting the bot does with its orders and positions."""

    CANCEL_ORDERS = "CancelOrders"
    FLATTEN = "Flatten"
    KEEP = "Keep"


class OnControlPlaneLoss(StrEnum):
    """What the bot does when it cannot see its TradingBot for 5 minutes, so that it could not see a kill."""

    CONTINUE = "Continue"
    REDUCE = "Reduce"
    FLATTEN = "Flatten"


class StorageReclaim(StrEnum):
    """What happens to the volume when the bot is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class StrategySpec(ApiModel):
    """Which strategy, with which parameters."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", max_length=63)]
    """A built-in strategy (docs/strategies), or an entry point `tradingbot.strategies` of the image."""
    parameters: Annotated[
        dict[str, Any],
        Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "maxProperties": 64}),
    ] = Field(default_factory=dict)
    """Validated by the strategy's own model when the bot starts; a bad one is the condition Ready=False."""


class GateRef(ApiModel):
    """A PromotionGate in the same namespace."""

    name: ObjectName
    """Name of the PromotionGate."""


class ImagePullSecret(ApiModel):
    """A Secret of type kubernetes.io/dockerconfigjson in the same namespace."""

    name: ObjectName
    """Name of the Secret."""


class IntradayPause(ApiModel):
    """A loss from the session's peak after which no new exposure is opened for a while."""

    loss_percent: Percent
    """Loss from the session's highest profit, in percent of the capital."""
    minutes: Annotated[int, Field(ge=0, le=390)]
    """Minutes of market time without new exposure; 0 is until the session ends."""


DEFAULT_INTRADAY_PAUSES = (
    IntradayPause(loss_percent=Decimal("3"), minutes=15),
    IntradayPause(loss_percent=Decimal("5"), minutes=60),
    IntradayPause(loss_percent=Decimal("7"), minutes=0),
)


class RiskLimits(ApiModel):
    """Limits checked before every order; every limit has a safe default."""

    max_positions: Annotated[int, Field(ge=1, le=500)] = 10
    """The most symbols held at once."""
    max_position_percent: Percent = Decimal("25")
    """The most of the capital in one symbol, in percent."""
    max_daily_loss_percent: Percent = Decimal("3")
    """Loss of the session, in percent of the capital, that halts the bot until the next session."""
    max_drawdown_percent: Percent = Decimal("15")
    """Drawdown from the peak, in percent of the capital, that halts the bot until a person resets it."""
    max_orders_per_minute: Annotated[int, Field(ge=1, le=200)] = 30
    """Orders sent per minute of machine time."""
    price_collar_percent: Percent = Decimal("5")
    """How far from the last price an order's limit may be, in percent."""
    intraday_pauses: Annotated[list[IntradayPause], Field(max_length=8)] = Field(
        default_factory=lambda: list(DEFAULT_INTRADAY_PAUSES)
    )
    """Pauses by loss from the session's peak; each is taken once a session. Exits still work."""
    breaker_cooldown_minutes: Annotated[int, Field(ge=0, le=10080)] = 30
    """Minutes of market time after a breaker has tripped before a person may reset it."""


class OrderKind(StrEnum):
    """Which orders the bot sends."""

    LIMIT = "limit"
    MARKET = "market"


class ExecutionSpec(ApiModel):
    """How targets become orders."""

    order_type: OrderKind = OrderKind.LIMIT
    """limit (a day order near the last price) or market."""
    limit_offset_bps: Annotated[int, Field(ge=-500, le=500)] = 10
    """Distance of the limit from the last price, in basis points: above 0 crosses the spread, below 0 rests."""
    reprice_bps: Annotated[int, Field(ge=0, le=1000)] = 0
    """An open limit order is replaced when its limit is further than this, in basis points, from the one that would
    be asked for now; 0 leaves it where it is."""
    min_trade_percent: Percent = Decimal("1")
    """Trades smaller than this, in percent of the capital, are left out; a full exit never is."""


class DataQualitySpec(ApiModel):
    """When bars and quotes are not trusted: a bad symbol is not traded until it has one good cycle."""

    max_stale_bars: Annotated[int, Field(ge=0, le=1000)] = 3
    """Intraday bars that may be missing at the end, within sessions; a missing daily bar is always stale."""
    max_price_jump_percent: Percent = Decimal("30")
    """The most a price may move from one bar to the next, in percent."""
    max_quote_age_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """Age of the latest quote while the market is open, in seconds of market time."""
    max_bad_symbols_percent: Percent = Decimal("50")
    """With more bad symbols than this, in percent of all, the bot halts until a good cycle."""


class Severity(StrEnum):
    """How much something matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class WebhookSpec(ApiModel):
    """A receiver of notices over HTTP."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=512)]
    """Gets a POST with a JSON body, an Idempotency-Key, and a bearer token where the account's Secret has
    WEBHOOK_TOKEN."""


class EmailSpec(ApiModel):
    """A mailbox for notices."""

    server: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?$", max_length=253)]
    """HOST or HOST:PORT of the SMTP server; TLS is used where it offers it, and demanded where a password is sent."""
    sender: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    """The From address."""
    recipients: Annotated[
        list[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]], Field(min_length=1, max_length=20)
    ]
    """The To addresses."""


class NoticesSpec(ApiModel):
    """Who is told of incidents, and how long they may wait for a person."""

    min_severity: Severity = Severity.WARNING
    """Notices below it are logged and not sent."""
    acknowledge_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    """Minutes after which an incident that nobody has acknowledged becomes a ticket."""
    webhook: WebhookSpec | None = None
    """A receiver over HTTP."""
    email: EmailSpec | None = None
    """A mailbox."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that are configured."""
        return tuple(name for name in ("webhook", "email") if getattr(self, name) is not None)


class StorageSpec(ApiModel):
    """The volume that holds the bot's state."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    # The API server checks a field's default `{}` before it fills in the size.
                    "!has(self.size) || !has(oldSelf.size)"
                    " || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
                    "size cannot shrink: a volume only grows; write the former size or a larger one",
                ),
                cel(
                    "has(self.storageClassName) == has(oldSelf.storageClassName)"
                    " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                    "storageClassName cannot be changed: the bot's state is on the volume it has",
                ),
            ]
        }
    )

    size: QuantityString = "1Gi"
    """Size of the volume; may grow, never shrink. Applied live where the StorageClass allows it; where it does not,
    the bot runs on and the condition StorageGrown says why."""
    storage_class_name: ObjectName | None = None
    """StorageClass; the cluster's default when absent. Immutable."""
    reclaim: StorageReclaim = StorageReclaim.RETAIN
    """Retain keeps the volume (orders, fills, journal) when the bot is deleted; Delete removes it. A change restarts
    nothing."""


class Toleration(ApiModel):
    """A toleration, as in a pod."""

    key: Annotated[str, Field(max_length=316)] | None = None
    operator: Annotated[str, Field(max_length=16)] | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Annotated[str, Field(max_length=32)] | None = None
    toleration_seconds: int | None = None


IntOrString = Annotated[int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]


class Resources(ApiModel):
    """CPU and memory, as in a container."""

    requests: Annotated[dict[str, IntOrString], Field(json_schema_extra=_KEY_VALUE)] = Field(default_factory=dict)
    """What is reserved."""
    limits: Annotated[dict[str, IntOrString], Field(json_schema_extra=_KEY_VALUE)] = Field(default_factory=dict)
    """What may be used at most."""


class TradingBotSpec(ApiModel):
    """What is asked of a bot. A change restarts its pod, with the same volume, orders and positions, unless the field
    says otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.mode != 'live' || has(self.gateRef)",
                    "gateRef: mode live needs a PromotionGate to pass",
                ),
                cel(
                    "self.mode != 'live' || has(self.accounts.live)",
                    "accounts.live: mode live needs a live BrokerAccount",
                ),
            ]
        }
    )

    mode: Mode = Mode.PAPER
    """paper or live: a request, never a fact. A bot whose gate does not pass stays on paper and says why. Asking for
    it restarts nothing."""
    strategy: StrategySpec
    """What decides the bot's targets."""
    symbols: Annotated[
        list[Symbol], Field(min_length=1, max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """What the bot may trade. One symbol of an account belongs to one bot: a new symbol that an elder bot owns stops
    this one, one that another pod still trades is waited for. A symbol that is taken out while it is held stays held
    and is no longer traded."""
    timeframe: Timeframe = Timeframe.DAY_1
    """Length of the bars the strategy sees; it is asked once for each closed bar."""
    capital: PositiveAmount
    """The most this bot may hold, in account currency. Where the account has limits.maxCapital and the elder bots leave
    no room for it, the bot holds no pod."""
    accounts: BrokerUse
    """BrokerAccount names."""
    gate_ref: GateRef | None = None
    """The PromotionGate that must pass; needed for live. A change restarts nothing."""
    risk: RiskLimits = RiskLimits()
    """Limits checked before every order. A change, tighter or wider, is in force once the pod has restarted, within
    seconds; to stop new exposure at once, pause."""
    execution: ExecutionSpec = ExecutionSpec()
    """How targets become orders."""
    data_quality: DataQualitySpec = DataQualitySpec()
    """When bars and quotes are not trusted."""
    notices: NoticesSpec = NoticesSpec()
    """Who is told of incidents."""
    on_kill: OnKill = OnKill.CANCEL_ORDERS
    """CancelOrders cancels open orders and opens nothing; Flatten also closes the bot's positions."""
    on_delete: OnDelete = OnDelete.CANCEL_ORDERS
    """What deleting the bot does with its orders and positions: CancelOrders cancels what is open, Flatten also closes
    what is held, Keep leaves both. The bot stays until the broker has confirmed it, 5 minutes at most; the condition
    Deleting says what it waits for, and annotation tradingbots.dev/skip-cancel-on-delete lets it go at once."""
    on_control_plane_loss: OnControlPlaneLoss = OnControlPlaneLoss.REDUCE
    """What the bot does when it cannot see its own TradingBot for 5 minutes."""
    paused: bool = False
    """No new exposure while true; exits still work. Applied live, without a restart."""
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^\S+$")] | None = None
    """Runtime image; the operator's default when absent. Own strategies come in an own image."""
    image_pull_policy: Annotated[str, Field(pattern="^(Always|IfNotPresent|Never)$", max_length=16)] = "IfNotPresent"
    """Always, IfNotPresent or Never."""
    image_pull_secrets: Annotated[list[ImagePullSecret], Field(max_length=8)] = Field(default_factory=list)
    """Secrets to pull the image with."""
    storage: StorageSpec = StorageSpec()
    """The volume that holds the bot's state."""
    resources: Resources = Resources()
    """CPU and memory of the bot's container; small defaults where absent."""
    node_selector: Annotated[dict[str, str], Field(json_schema_extra=_KEY_VALUE)] = Field(default_factory=dict)
    """As in a pod."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(default_factory=list)
    """As in a pod."""
    affinity: Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] = (
        Field(default_factory=dict)
    )
    """As in a pod."""
    pod_labels: Annotated[dict[str, str], Field(json_schema_extra=_KEY_VALUE)] = Field(default_factory=dict)
    """More labels for the bot's pod; those of this project and of Kubernetes cannot be set."""
    pod_annotations: Annotated[dict[str, str], Field(json_schema_extra=_KEY_VALUE)] = Field(default_factory=dict)
    """More annotations for the bot's pod."""


class TradingBotStatus(ObservedModel):
    """What was observed of a bot; written only by the operator."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation this status was computed from."""
    effective_mode: Mode | None = None
    """What the bot really is: paper, whatever spec.mode asks for, until live trading is granted; live until the last
    live pod is gone."""
    subject_digest: Sha256 | None = None
    """sha256 over everything that evidence, approvals and a grant are about; absent without a gate."""
    promotion: PromotionStatus | None = None
    """What the gate says of the bot, and why; absent without a gate."""
    grant: Grant | None = None
    """The permission to trade real money; absent on paper."""
    demotion: DemotionReport | None = None
    """Why the bot last went back to paper; absent while it is live."""
    trading_state: TradingState | None = None
    """Active, Reducing (exits only) or Halted, as the bot last reported."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The runtime image the bot's pod is asked to run."""
    kill: KillReport | None = None
    """The kill in force: why, and how far it is, as the broker confirmed it."""
    account: AccountReport | None = None
    """Equity, cash and the day's result of the bot's account, as last reported."""
    positions: Annotated[list[PositionReport], Field(max_length=100)] = Field(default_factory=list)
    """What the bot holds."""
    recent_orders: Annotated[list[OrderReport], Field(max_length=5)] = Field(default_factory=list)
    """The last few orders, newest first."""
    open_orders: Annotated[int, Field(ge=0)] | None = None
    """How many orders are open."""
    filled_orders: Annotated[int, Field(ge=0)] | None = None
    """How many orders were filled since the bot's state began."""
    last_reconciliation: ReconciliationReport | None = None
    """The last comparison of the bot's own books with the broker's."""
    reported_at: Annotated[str, Field(max_length=32)] | None = None
    """When the figures above were read from the bot (RFC 3339, UTC)."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field(default_factory=list)
    """Ready, Reconciled, LiveAuthorized, Killed, Paused, SymbolConflict, and where there is something to say
    CapitalExceeded, StorageGrown, Deleting."""


class TradingBot(ApiModel):
    """One strategy on one account, run as one pod."""

    model_config = ConfigDict(extra="ignore")

    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: TradingBotSpec
    status: TradingBotStatus = TradingBotStatus()
