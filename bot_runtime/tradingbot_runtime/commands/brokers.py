"""The broker as a command reaches it: with the keys it was given, for as long as it needs it."""

import contextlib
import random
from collections.abc import Iterator

from tradingbot_api import BrokerEndpoint
from tradingbot_runtime.broker.alpaca import AlpacaBroker
from tradingbot_runtime.broker.connection import Credentials
from tradingbot_runtime.commands.inputs import Keys
from tradingbot_runtime.core.orders import client_order_id_prefix


@contextlib.contextmanager
def broker_of(
    endpoint: BrokerEndpoint, keys: Keys, bot_uid: str, mode: str, rng: random.Random | None = None
) -> Iterator[AlpacaBroker]:
    """The broker of a bot. A call that hangs at the end dies with the process."""
    broker = AlpacaBroker(
        endpoint,
        Credentials(keys.key_id, keys.secret_key),
        prefix=client_order_id_prefix(bot_uid, mode),
        rng=rng or random.Random(),  # noqa: S311 (jitter, not secrets)
    )
    try:
        yield broker
    finally:
        broker.close()
