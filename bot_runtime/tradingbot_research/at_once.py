"""The backtest of one symbol that is all in or all out, as array operations: no loop at all.

Only for what it can do exactly; for everything else it says None, and the run goes step by step.
"""

import numpy as np

from tradingbot_research.market import Bars, Floats
from tradingbot_research.result import Cause, Fills, Obstacle, Result, Unfilled
from tradingbot_research.rules import BASIS_POINT, Rules, SizeAt, Sizing
from tradingbot_research.stepping import changed_rows


def applies(bars: Bars, rules: Rules) -> bool:
    """Whether gains are reinvested in any part of a share, with costs in proportion, and nothing else trades.

    Then each round trip multiplies the equity E by 1 - w + w x / e, where e is what a share costs at the entry, x what
    it brings at the exit, both with all costs, and w the weight; what was bought is w E / e.
    """
    return (
        len(bars.symbols) == 1
        and rules.sizing is Sizing.EQUITY
        and rules.size_at is SizeAt.FILL
        and not rules.share_step
        and not rules.costs.minimum_commission
        and rules.rebalance_band is None
        and not rules.exits.any
    )


def run_at_once(bars: Bars, targets: Floats, rules: Rules) -> Result | None:
    """The backtest, or None where targets or volumes are such that it has to go step by step."""
    weights = targets[:, 0]
    decided = np.flatnonzero(changed_rows(targets))
    wanted = weights[decided]
    if wanted[0] != wanted[0]:
        decided, wanted = decided[1:], wanted[1:]
    if len(wanted) and wanted[0] == 0:
        decided, wanted = decided[1:], wanted[1:]
    opens, closes = wanted[0::2], wanted[1::2]
    # NaN fails each of these: later on it means that what is held stays, which needs a memory.
    if not (bool((opens >= max(rules.minimum_trade, 1e-9) * (1 + 1e-9)).all()) and bool((opens <= 1).all())):
        return None
    if not bool((closes == 0).all()):
        return None
    late = len(decided) > 0 and decided[-1] == len(bars) - 1
    filled = decided[: len(decided) - late] + 1
    # Of these bars only: `bars.tradable` would look at all of them.
    volume, opened = bars.volume[filled, 0], bars.open[filled, 0]
    if not (bool((np.isfinite(opened) & (volume > 0)).all()) and bool(np.isfinite(bars.close[decided, 0]).all())):
        return None

    costs, prices = rules.costs, opened
    prices[0::2] *= 1 + costs.price_share
    prices[1::2] *= 1 - costs.price_share
    share = costs.commission_bps * BASIS_POINT
    each = prices[0::2] * (1 + share) + costs.commission_per_share
    brings = prices[1::2] * (1 - share) - costs.commission_per_share
    trips = len(brings)
    parts = opens[: len(each)]
    growth = 1 - parts[:trips] + parts[:trips] * brings / each[:trips]
    flat = rules.capital * np.cumprod(np.concatenate(([1.0], growth)))
    bought = parts * flat[: len(each)] / each
    if bool((flat[: len(each)] <= 0).any()) or bool((bought <= 1e-9).any()):
        return None
    shares, cash, position = np.empty(len(filled)), np.empty(len(filled)), np.zeros(len(filled))
    shares[0::2], shares[1::2] = bought, -bought[:trips]
    cash[0::2], cash[1::2] = flat[: len(each)] * (1 - parts), flat[1 : trips + 1]
    position[0::2] = bought
    if bool((np.abs(shares) > volume * rules.maximum_volume).any()):
        return None
    fills = Fills(
        bar=filled,
        symbol=np.zeros(len(filled), dtype=np.int64),
        shares=shares,
        price=prices,
        commission=np.abs(shares) * (prices * share + costs.commission_per_share),
        cause=np.full(len(filled), Cause.TARGET, dtype=np.int8),
        position=position,
        cash=cash,
        entry=np.repeat(prices[0::2], 2)[: len(prices)],
    )
    unfilled: tuple[Unfilled, ...] = ()
    if late:
        left = -float(position[-1]) if len(position) else 0.0
        if len(wanted) % 2:
            price = float(bars.close[-1, 0]) * (1 + costs.price_share) * (1 + share) + costs.commission_per_share
            left = float(opens[-1] * flat[-1]) / price
        unfilled = (Unfilled(len(bars) - 1, bars.symbols[0], left, Obstacle.END_OF_DATA),)
    return Result(bars, rules.capital, fills, unfilled)
