"""The subject of a promotion: everything that, if it changed, would make the evidence be about something else.

One digest over named inputs. Must never leave an input out because it is missing: unknown is a value of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

from tradingbot_api import BrokerAccountSpec, PromotionGateSpec, TradingBotSpec, subject_inputs
from tradingbot_api.subject_inputs import digest_of_input, gate_input, live_account_input, spec_inputs

UNKNOWN: Final = subject_inputs.UNKNOWN
CLOCKS_MAY_DIFFER: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Subject:
    """What evidence, approvals and a grant are about."""

    uid: str
    """UID of the TradingBot."""
    image: str
    """Digest of the image the kubelet runs, or `unknown` while no pod has run."""
    paper_account: str
    live_account: str
    live_provider: str
    capital: Decimal
    """What the returns of its paper sessions are percent of, in account currency."""
    inputs: Mapping[str, str]
    """sha256 of each input by the name of the field it comes from, sorted by name."""

    @cached_property
    def digest(self) -> str:
        """sha256 over all inputs."""
        return digest_of_input(dict(sorted(self.inputs.items())))

    def why_foreign(self, uid: str, digest: str | None) -> str | None:
        """Why something that names this UID and digest is about something else; None when it is about this."""
        if uid != self.uid:
            return "of another bot: its UID is not this bot's"
        if digest != self.digest:
            return "of another subject: something that matters has changed since"
        return None

    @property
    def is_known(self) -> bool:
        """Whether the image is known: without it nothing can be said to be about this subject."""
        return self.image != UNKNOWN


def subject_of(
    uid: str,
    spec: TradingBotSpec,
    gate: PromotionGateSpec,
    live_account: BrokerAccountSpec | None,
    *,
    image: str | None,
    kill_epoch: int,
) -> Subject:
    """The subject of a bot. `image` is the digest the kubelet reports, `kill_epoch` counts the bot's kills."""
    live = spec.accounts.live or ""
    parts: dict[str, object] = {
        "image": image or UNKNOWN,
        **spec_inputs(spec),
        "accounts.live": live_account_input(live, live_account),
        "gate": gate_input(gate),
        "killEpoch": kill_epoch,
    }
    return Subject(
        uid=uid,
        image=image or UNKNOWN,
        paper_account=spec.accounts.paper,
        live_account=live,
        live_provider=live_account.provider.value if live_account is not None else UNKNOWN,
        capital=spec.capital,
        inputs={name: digest_of_input(part) for name, part in parts.items()},
    )


def gate_digest(gate: PromotionGateSpec) -> str:
    """The input `gate` of every subject that is judged by a gate as it is now."""
    return digest_of_input(gate_input(gate))


def is_from_the_future(at: datetime, now: datetime) -> bool:
    """Whether a time was not told by a clock that can be trusted."""
    return at > now + CLOCKS_MAY_DIFFER


def changed_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the inputs that differ, sorted."""
    return tuple(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
