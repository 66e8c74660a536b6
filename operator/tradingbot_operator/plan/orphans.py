"""Which children belong to a bot that is no more and have lost the owner by which the garbage collector finds them.

Must never name an object that we did not make, or that something else controls. Volume claims and pods are not
children: a claim goes as the StatefulSet's retention policy says, a pod with its StatefulSet.
"""

from collections.abc import Iterable

from tradingbot_api.group import BOT_LABEL, BOT_UID_ANNOTATION
from tradingbot_operator.plan.children import CHILD_KINDS
from tradingbot_operator.plan.names import MANAGED_BY_LABEL, MANAGER
from tradingbot_operator.plan.objects import (
    Raw,
    annotation,
    controller_uid,
    is_being_deleted,
    label,
    text,
    uid_of,
)


def orphans(children: Iterable[Raw], bot: Raw | None) -> tuple[Raw, ...]:
    """Those of a name's children that are to be removed; `bot` is the bot of that name now, if there is one."""
    alive = uid_of(bot) if bot is not None else ""
    return tuple(child for child in children if _is_orphan(child, alive))


def _is_orphan(child: Raw, alive: str) -> bool:
    owner = annotation(child, BOT_UID_ANNOTATION)
    is_ours = label(child, MANAGED_BY_LABEL) == MANAGER and bool(label(child, BOT_LABEL)) and bool(owner)
    return (
        is_ours
        and text(child, "kind") in CHILD_KINDS
        and owner != alive
        and not controller_uid(child)
        and not is_being_deleted(child)
    )
