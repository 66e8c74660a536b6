"""The custom resources of `tradingbots.dev/v1alpha1` and the two documents the operator and a bot exchange.

The only place a field is defined: the CRDs are generated from these models, and every program reads and
writes them through these models. Must never import another package of this project.
"""

from tradingbot_api.broker_account import (
    BrokerAccount,
    BrokerAccountSpec,
    BrokerAccountStatus,
    BrokerEnvironment,
    BrokerProvider,
    BrokerUse,
)
from tradingbot_api.conditions import Condition, ConditionStatus
from tradingbot_api.group import (
    API_VERSION,
    GROUP,
    KILL_ANNOTATION,
    PAUSE_ANNOTATION,
    VERSION,
)
from tradingbot_api.runtime_config import BotIdentity, BrokerEndpoint, RuntimeConfig
from tradingbot_api.runtime_report import (
    EX_CONFIG,
    EX_STATE,
    AccountReport,
    KillReport,
    OrderReport,
    PositionReport,
    ReconciliationReport,
    RuntimeReport,
    TerminationMessage,
    TradingState,
)
from tradingbot_api.tradingbot import (
    ExecutionSpec,
    Mode,
    OnControlPlaneLoss,
    OnDelete,
    OnKill,
    OrderKind,
    RiskLimits,
    StorageReclaim,
    StorageSpec,
    StrategySpec,
    Timeframe,
    TradingBot,
    TradingBotSpec,
    TradingBotStatus,
)

__all__ = [
    "API_VERSION",
    "EX_CONFIG",
    "EX_STATE",
    "GROUP",
    "KILL_ANNOTATION",
    "PAUSE_ANNOTATION",
    "VERSION",
    "AccountReport",
    "BotIdentity",
    "BrokerAccount",
    "BrokerAccountSpec",
    "BrokerAccountStatus",
    "BrokerEndpoint",
    "BrokerEnvironment",
    "BrokerProvider",
    "BrokerUse",
    "Condition",
    "ConditionStatus",
    "ExecutionSpec",
    "KillReport",
    "Mode",
    "OnControlPlaneLoss",
    "OnDelete",
    "OnKill",
    "OrderKind",
    "OrderReport",
    "PositionReport",
    "ReconciliationReport",
    "RiskLimits",
    "RuntimeConfig",
    "RuntimeReport",
    "StorageReclaim",
    "StorageSpec",
    "StrategySpec",
    "TerminationMessage",
    "Timeframe",
    "TradingBot",
    "TradingBotSpec",
    "TradingBotStatus",
    "TradingState",
]
