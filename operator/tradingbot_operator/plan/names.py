"""What a bot's children are called and labelled: the only place that knows. Must never depend on an object."""

from types import MappingProxyType
from typing import Final

from tradingbot_api.group import BOT_LABEL

MANAGER: Final = "tradingbot-operator"
"""Field manager, `app.kubernetes.io/managed-by`, and reporting controller of Events."""

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"

CONTAINER: Final = "bot"
LITESTREAM_CONTAINER: Final = "litestream"
VOLUME: Final = "state"
PORT: Final = 8080
CONFIG_FILE: Final = "bot.yaml"
CONFIG_DIRECTORY: Final = "/etc/tradingbot"
STATE_DIRECTORY: Final = "/var/lib/tradingbot"

SELECTED: Final = MappingProxyType({"app.kubernetes.io/name": "tradingbot"})


def child_name(bot: str) -> str:
    """The name of every child of a bot. A bot is never called so itself by accident: it is its own kind."""
    return f"{bot}-bot"


def pod_name(bot: str) -> str:
    """The only pod of the bot's StatefulSet."""
    return f"{child_name(bot)}-0"


def claim_name(bot: str) -> str:
    """The volume claim that the StatefulSet makes for its only pod."""
    return f"{VOLUME}-{pod_name(bot)}"


def selector(bot: str) -> dict[str, str]:
    """Labels that find the bot's pods; a StatefulSet's selector can never change, so neither may these."""
    return {**SELECTED, BOT_LABEL: bot}


def labels(bot: str, component: str) -> dict[str, str]:
    """Labels of a child: the recommended ones of Kubernetes, and the bot's name."""
    return {
        **SELECTED,
        "app.kubernetes.io/instance": bot,
        "app.kubernetes.io/component": component,
        MANAGED_BY_LABEL: MANAGER,
        BOT_LABEL: bot,
    }
