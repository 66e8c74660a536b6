"""Figures over the counted sessions. Money in account currency, rates in percent, slippage in basis points.

Pure arithmetic in Decimal. None where there is nothing to compute a figure from: never zero instead.
"""

from collections.abc import Sequence
from decimal import Decimal

from tradingbot_api import SessionReport

_HUNDRED = Decimal(100)


def reconciliation_rate_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Share of all comparisons that found nothing; one that could not be made found something."""
    clean = sum(one.reconciliations.clean for one in sessions)
    other = sum(one.reconciliations.mismatch + one.reconciliations.failed for one in sessions)
    return _HUNDRED * clean / (clean + other) if clean + other else None


def error_rate_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Share of all operations that failed."""
    operations = sum(one.operations for one in sessions)
    return _HUNDRED * sum(one.operational_errors for one in sessions) / operations if operations else None


def total_return_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Sum of the sessions' returns, in percent of the capital, which is not compounded."""
    return sum((one.return_percent for one in sessions), Decimal(0)) if sessions else None


def max_drawdown_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Largest fall of the summed returns from their highest point so far, in percent of the capital."""
    if not sessions:
        return None
    peak = level = worst = Decimal(0)
    for one in sessions:
        level += one.return_percent
        peak = max(peak, level)
        worst = max(worst, peak - level)
    return worst


def slippage_bps(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Cost of the fills against the prices they were decided at, weighted by turnover."""
    measured = [(one.slippage_bps, one.turnover) for one in sessions if one.slippage_bps is not None]
    turnover = sum((value for _, value in measured), Decimal(0))
    if not turnover:
        return None
    return sum((bps * value for bps, value in measured), Decimal(0)) / turnover


def fill_rate_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Value filled of what was ordered, weighted by the number of orders: a session that filled nothing weighs, too."""
    measured = [(one.fill_rate_percent, one.orders) for one in sessions if one.fill_rate_percent is not None]
    orders = sum(count for _, count in measured)
    return sum((rate * count for rate, count in measured), Decimal(0)) / orders if orders else None


def execution_quality(sessions: Sequence[SessionReport]) -> Decimal | None:
    """100 - 1.5 max(0, slippage - 5) - 200 (1 - fill rate), from 0 to 100."""
    slippage, fill_rate = slippage_bps(sessions), fill_rate_percent(sessions)
    if slippage is None or fill_rate is None:
        return None
    quality = _HUNDRED - Decimal("1.5") * max(Decimal(0), slippage - 5) - 2 * (_HUNDRED - fill_rate)
    return min(_HUNDRED, max(Decimal(0), quality))


def shadow_drift_percent(sessions: Sequence[SessionReport]) -> Decimal | None:
    """Distance of the result from the shadow's, in percent of the result's own scale.

    |R - S| / max(|R|, s sqrt(n)), with R and S the summed returns of bot and shadow, s the standard deviation of the
    bot's returns and n their number: a result near zero is measured by what is usual for it. Zero where both are
    zero, 100 where only the scale is.
    """
    if not sessions:
        return None
    returns = [one.return_percent for one in sessions]
    total = sum(returns, Decimal(0))
    distance = abs(total - sum((one.shadow_return_percent for one in sessions), Decimal(0)))
    mean = total / len(returns)
    variance = sum(((one - mean) ** 2 for one in returns), Decimal(0)) / len(returns)
    scale = max(abs(total), (variance * len(returns)).sqrt())
    if not distance:
        return Decimal(0)
    return _HUNDRED * distance / scale if scale else _HUNDRED


def session_drift_percent(one: SessionReport, usual_percent: Sequence[Decimal]) -> Decimal:
    """Distance of one session's result from its shadow's, in percent of that result's own scale.

    |r - s| / max(|r|, sigma), with r and s the session's returns of bot and shadow, and sigma the standard deviation of
    the `usual_percent` returns of the bot: alone, a session near zero would drift without end. Zero where bot and
    shadow agree, 100 where only the scale is zero.
    """
    distance = abs(one.return_percent - one.shadow_return_percent)
    if not distance:
        return Decimal(0)
    count = len(usual_percent) or 1
    mean = sum(usual_percent, Decimal(0)) / count
    variance = sum(((each - mean) ** 2 for each in usual_percent), Decimal(0)) / count
    scale = max(abs(one.return_percent), variance.sqrt())
    return _HUNDRED * distance / scale if scale else _HUNDRED
