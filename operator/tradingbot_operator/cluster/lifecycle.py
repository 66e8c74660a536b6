"""The few writes beside apply and status: our finalizer on a bot, an orphan's removal, a volume claim's growth.

Each is about the very object that was seen, by uid and version, or it is a conflict. Must never touch a bot's spec.
"""

from collections.abc import Sequence

from tradingbot_operator.cluster.connection import Connection, NotFoundError
from tradingbot_operator.cluster.resources import RESOURCES
from tradingbot_operator.plan.names import MANAGER
from tradingbot_operator.plan.objects import ObjectKey, Raw, as_seen, name_of, namespace_of, text, uid_of
from tradingbot_operator.plan.storage import ClaimGrowth


async def write_finalizers(connection: Connection, bot: Raw, finalizers: Sequence[str]) -> Raw:
    """Replaces the bot's finalizers. Raises ApiError.

    No server-side apply: it would leave our finalizer where somebody else wrote it, too, and the bot would hang.
    """
    body = {"metadata": {**as_seen(bot), "finalizers": list(finalizers)}}
    resource = RESOURCES["TradingBot"]
    return await connection.merge(resource, namespace_of(bot), name_of(bot), body, manager=MANAGER)


async def remove_orphan(connection: Connection, child: Raw) -> None:
    """Deletes this very child unless it is gone already. Raises ApiError."""
    try:
        resource = RESOURCES[text(child, "kind")]
        await connection.delete(resource, namespace_of(child), name_of(child), uid=uid_of(child))
    except NotFoundError:
        return


async def grow_claim(connection: Connection, growth: ClaimGrowth) -> Raw:
    """Asks for a larger volume and for nothing else. Raises ApiError."""
    claim = growth.claim
    body = {
        "metadata": as_seen(claim),
        "spec": {"resources": {"requests": {"storage": growth.size}}},
    }
    resource = RESOURCES["PersistentVolumeClaim"]
    return await connection.merge(resource, namespace_of(claim), name_of(claim), body, manager=MANAGER)


async def uid_now(connection: Connection, key: ObjectKey) -> str:
    """The uid of the object as the API server has it at this moment, or an empty string. Raises ApiError."""
    try:
        return uid_of(await connection.get_metadata(RESOURCES[key.kind], key.namespace, key.name))
    except NotFoundError:
        return ""
