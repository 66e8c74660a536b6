"""How far a kill is, and when one may be released. Pure: reads the status, and calls nothing done that is not in it.

A time of orders or positions is there only once the broker itself confirmed that step. When the kill was seen may be
the operator's word or the bot's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rich.console import RenderableType

from kubectl_tradingbot.bots import Bot
from kubectl_tradingbot.errors import Code, RefusedError, UsageError
from kubectl_tradingbot.terminal import pairs, state, table, words
from tradingbot_api import API_VERSION, ApprovalAction, OnKill


class End(Enum):
    """Where a kill has got to."""

    UNDERWAY = "underway"
    """Not everything that was asked is confirmed."""
    HELD = "no order open, positions held"
    """The broker confirmed that no order is open; positions are kept, as spec.onKill: CancelOrders asks."""
    FLAT = "flat"
    """The broker confirmed that no order is open and nothing is held."""


@dataclass(frozen=True)
class Step:
    """One step that is confirmed."""

    what: str
    at: str
    """By the clock of whoever confirmed it (RFC 3339); empty where only this side saw it."""


@dataclass(frozen=True)
class Progress:
    """How far one bot's kill is."""

    bot: str
    end: End
    steps: tuple[Step, ...]
    message: str
    """What the Killed condition says."""


def progress(bot: Bot) -> Progress:
    """From the bot's status as it is now."""
    kill, said = bot.kill, bot.condition("Killed")
    message = said.message if said is not None and said.status == "True" else "nobody has seen it yet"
    name = f"{bot.namespace}/{bot.name}"
    if kill is None:
        return Progress(name, End.UNDERWAY, (), message)
    recorded = f"seen, and recorded as kill {bot.kill_epoch}" if bot.kill_epoch is not None else "seen"
    steps = [Step(recorded, kill.observed_at)]
    if kill.orders_cancelled_at is not None:
        steps.append(Step("no order is open, says the broker", kill.orders_cancelled_at))
    flat_at = kill.flat_at
    flattens = bot.spec.get("onKill") == OnKill.FLATTEN.value
    if flat_at is None and not flattens and kill.orders_cancelled_at is not None and kill.open_positions == 0:
        flat_at = kill.orders_cancelled_at
    if flat_at is not None:
        steps.append(Step("nothing is held, says the broker: flat", flat_at))
    return Progress(name, _end(kill.orders_cancelled_at, flat_at, flattens=flattens), tuple(steps), message)


def _end(cancelled_at: str | None, flat_at: str | None, *, flattens: bool) -> End:
    if cancelled_at is None:
        return End.UNDERWAY
    if flat_at is not None:
        return End.FLAT
    return End.UNDERWAY if flattens else End.HELD


def code_of(all_of_it: Sequence[Progress]) -> Code:
    """The exit code for several bots: as good as the worst of them."""
    ends = {one.end for one in all_of_it}
    if End.UNDERWAY in ends:
        return Code.NOT_CONFIRMED
    return Code.HELD if End.HELD in ends else Code.DONE


def summary_table(all_of_it: Sequence[Progress]) -> RenderableType:
    """A line for each bot, the worst first."""
    order = list(End)
    lines = table("BOT", "IS", "LAST CONFIRMED STEP", "MESSAGE", unbroken=("BOT",))
    for one in sorted(all_of_it, key=lambda one: (order.index(one.end), one.bot)):
        last = one.steps[-1] if one.steps else Step("none", "")
        colour = {End.FLAT: "green", End.HELD: "yellow", End.UNDERWAY: "red"}[one.end]
        lines.add_row(words(one.bot), words(one.end.value, colour), words(f"{last.what} {last.at}"), words(one.message))
    return lines


# ---------------------------------------------------------------- release


def check_release(bot: Bot, reason: str) -> int:
    """The epoch of the kill to release; an error where there is none, or where the kill is somewhere else."""
    if not reason.strip():
        raise UsageError("say why with --reason: it is kept with the approval")
    if not bot.is_killed:
        raise RefusedError(f"{bot.name} is not killed: there is nothing to release")
    kill = bot.kill
    if kill is not None and kill.scope == "BrokerAccount" and bot.kill_asked is None and _account_still_asks(bot):
        account = bot.accounts.get("live" if bot.status.effective_mode == "live" else "paper", "ACCOUNT")
        raise RefusedError(
            f"the kill is on the account {account}, and of every bot on it. Once that is over for all of them:"
            f" kubectl annotate brokeraccount {account} -n {bot.namespace} tradingbots.dev/kill-   and release again"
        )
    if bot.kill_epoch is None:
        raise RefusedError(
            f"the operator has not recorded the kill of {bot.name} yet (status.kill.epoch): try again then"
        )
    return bot.kill_epoch


def _account_still_asks(bot: Bot) -> bool:
    said = bot.condition("Killed")
    return said is not None and "kill requested on BrokerAccount" in said.message


def release_document(bot: Bot, epoch: int, approver: str, reason: str) -> dict[str, Any]:
    """The Approval that releases that kill."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Approval",
        "metadata": {"generateName": f"{bot.name}-release-", "namespace": bot.namespace},
        "spec": {
            "action": ApprovalAction.RELEASE_KILL.value,
            "botRef": {"name": bot.name, "uid": bot.uid},
            "killEpoch": epoch,
            "approver": approver,
            "reason": reason,
        },
    }


def release_view(bot: Bot, epoch: int, approver: str, reason: str) -> RenderableType:
    """What the release would stand for."""
    kill, now = bot.kill, progress(bot)
    annotation = "none" if bot.kill_asked is None else f"{bot.kill_asked!r}: it will be removed"
    rows: list[tuple[str, RenderableType]] = [
        ("Bot", words(f"{bot.namespace}/{bot.name} (UID {bot.uid})", style="bold")),
        ("Kill", words(f"epoch {epoch}: {kill.reason if kill is not None and kill.reason else '(no reason given)'}")),
        *((f"Step {number}", words(f"{step.what} {step.at}")) for number, step in enumerate(now.steps, 1)),
        ("Now", state(now.end.value)),
        ("Annotation", words(annotation)),
        ("Afterwards", words("it trades again, on paper; approvals from before do not stand")),
        ("You are", words(approver, style="bold")),
        ("Your reason", words(reason)),
    ]
    return pairs(rows)


def release_outcome(bot: Bot, epoch: int, approval: str) -> tuple[bool, str]:
    """Whether that kill is over, and what is said of it; RefusedError where the approval cannot end it."""
    said = bot.condition("Killed")
    if said is None or said.status != "True":
        return True, "the kill is released"
    if bot.kill_epoch is not None and bot.kill_epoch != epoch:
        raise RefusedError(f"another kill is in force, epoch {bot.kill_epoch}: {said.message}")
    _, is_void, why = said.message.partition(f"Approval {approval} does not release it: ")
    if is_void:
        raise RefusedError(f"the approval {approval} does not release it: {why}")
    return False, said.message
