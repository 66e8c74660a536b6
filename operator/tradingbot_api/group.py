"""Names that users and programs agree on: the API group, annotations, labels. Holds constants only."""

from typing import Final

GROUP: Final = "tradingbots.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CRD_VERSION: Final = 1
"""One more with each release that changes a schema, so that an operator knows CRDs that are newer than itself."""

CRD_VERSION_LABEL: Final = f"{GROUP}/crd-version"
"""On every CustomResourceDefinition: CRD_VERSION as it was generated."""

KILL_ANNOTATION: Final = f"{GROUP}/kill"
"""Present with ANY value, even empty, on a TradingBot or its BrokerAccount: kills. The value is why."""

PAUSE_ANNOTATION: Final = f"{GROUP}/pause"
"""Present with any value on a TradingBot: no new exposure, as `spec.paused` does."""

RUN_NOW_ANNOTATION: Final = f"{GROUP}/run-now"
"""On a TradingBot: one evaluation at once, for each new value."""

RESET_BREAKER_ANNOTATION: Final = f"{GROUP}/reset-breaker"
"""On a TradingBot: closes the circuit breaker once for each new value, after its cool-down. The value is why."""

ACKNOWLEDGE_ANNOTATION: Final = f"{GROUP}/acknowledge-incident"
"""On a TradingBot: id of an incident that a person has seen, for each new value."""

ACCEPT_POSITIONS_ANNOTATION: Final = f"{GROUP}/accept-positions"
"""On a TradingBot: what the account holds is right as it is, once for each new value. The value is why."""

CANCEL_FINALIZER: Final = f"{GROUP}/cancel-on-delete"
"""On a TradingBot with a pod: a deletion waits for what `spec.onDelete` asks. The operator always takes it off."""

SKIP_CANCEL_ANNOTATION: Final = f"{GROUP}/skip-cancel-on-delete"
"""On a TradingBot that is being deleted, with any value: it goes at once, whatever is still open at the broker."""

BOT_LABEL: Final = f"{GROUP}/bot"
"""On every child of a TradingBot: the bot's name (at most 40 characters, so always a valid label value)."""

CONFIG_DIGEST_ANNOTATION: Final = f"{GROUP}/config-digest"
"""On the pod template: sha256 of the runtime's config, so that a changed config is a new pod."""

CONFIG_DIGEST_VARIABLE: Final = "TRADINGBOT_CONFIG_DIGEST"
"""Environment variable of a bot's container, with the same value: the runtime reads no other config. A ConfigMap of the
name can be made by whoever may make ConfigMaps, a pod's environment by nobody."""

MAX_BOT_NAME_LENGTH: Final = 40
"""A StatefulSet's pods carry `<name>-<revision hash>` as a label value of 63 characters; 40 leaves room."""

MAX_ACCOUNT_NAME_LENGTH: Final = 63

MAX_GATE_NAME_LENGTH: Final = 63

ACCOUNT_ANNOTATION: Final = f"{GROUP}/account"
"""On a bot's pod: the BrokerAccount it trades on."""

SYMBOLS_ANNOTATION: Final = f"{GROUP}/symbols"
"""On a bot's pod: the symbols it was started with, so that no second pod trades them before it is gone."""

MANIFEST_DIGEST_ANNOTATION: Final = f"{GROUP}/manifest-digest"
"""On every child: sha256 of what the operator last asked for, so that a field it no longer wants is removed."""

BOT_UID_ANNOTATION: Final = f"{GROUP}/bot-uid"
"""On every child: the uid of its TradingBot, so that a child is never taken for a namesake's."""

LIVE_LABEL: Final = f"{GROUP}/live"
"""On a StatefulSet or Job that trades real money, and on its pods. Present with any value; admission lets only the
operator write it, and only the StatefulSet and Job controllers make pods with it."""

METRICS_LABEL: Final = f"{GROUP}/metrics"
"""On a namespace, with the value `scrape`: its pods (Prometheus) may reach the figures of bots and operator."""

PRODUCER_LABEL: Final = f"{GROUP}/producer"
"""On a Job that makes evidence, on its pods, and on the ConfigMap it reads: `audit`, `preflight` or `validation`.
Present with any value; admission lets only the operator write such Jobs and ConfigMaps, and only the Job controller
make such pods."""
