"""What of the manifests a promotion is about: the parts that, if they change, void what was shown and approved.

The operator's digest is made of these, and `tradingbot ci` compares two versions of a repository by them. Pure; must
never leave a part out because it is missing: unknown is a value of its own.
"""

import hashlib
import json
from typing import Final

from tradingbot_api.broker_account import BrokerAccountSpec
from tradingbot_api.promotion_gate import PromotionGateSpec
from tradingbot_api.tradingbot import TradingBotSpec

UNKNOWN: Final = "unknown"


def spec_inputs(spec: TradingBotSpec) -> dict[str, object]:
    """The parts of a bot's own spec, by name, as JSON values with all defaults filled in."""
    document = spec.model_dump(mode="json", by_alias=True)
    return {
        "strategy": document["strategy"],
        "symbols": sorted(document["symbols"]),
        "timeframe": document["timeframe"],
        "capital": document["capital"],
        "risk": document["risk"],
        "execution": document["execution"],
    }


def live_account_input(name: str, account: BrokerAccountSpec | None) -> dict[str, object]:
    """The live account: its name, and what is asked of it. `account`: None while it is not known."""
    # Not its limits: the account's owner may tighten them at any time without voiding anybody's evidence.
    known = None if account is None else account.model_dump(mode="json", by_alias=True, exclude={"limits"})
    return {"name": name, "account": UNKNOWN if known is None else known}


def gate_input(gate: PromotionGateSpec) -> dict[str, object]:
    """All of a gate's spec."""
    return gate.model_dump(mode="json", by_alias=True)


def digest_of_input(part: object) -> str:
    """sha256 over the canonical JSON of a part, in hexadecimal."""
    text = json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
