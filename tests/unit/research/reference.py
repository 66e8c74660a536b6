"""A backtest as one would write it on a napkin: every bar, every symbol, one after the other, no shortcut.

What the engine finds by leaps, this finds by walking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tradingbot_research.market import Bars, Floats
from tradingbot_research.rules import Rules, SizeAt, Sizing


@dataclass
class Walked:
    fills: list[tuple[int, int, float, float, str]] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)


def walk(bars: Bars, targets: Floats, rules: Rules) -> Walked:
    found = Walked()
    columns = range(len(bars.symbols))
    costs = rules.costs
    spread = (costs.half_spread_bps + costs.slippage_bps) / 10_000
    cash = rules.capital
    shares = dict.fromkeys(columns, 0.0)
    entry: dict[int, float] = {}
    anchor: dict[int, float] = {}  # what stop-loss and take-profit are measured from
    decided: dict[int, float] = {}
    best: dict[int, float] = {}
    known = dict.fromkeys(columns, 0.0)  # last close
    wanted = dict.fromkeys(columns, math.nan)
    after_exit = dict.fromkeys(columns, math.nan)
    again: set[int] = set()
    orders: dict[int, float] = {}

    def down(number: float) -> float:
        if rules.share_step == 0:
            return number
        return math.trunc(number / rules.share_step * (1 + 1e-12)) * rules.share_step

    def fee(number: float, price: float) -> float:
        by_size = abs(number) * price * costs.commission_bps / 10_000 + abs(number) * costs.commission_per_share
        return max(by_size, costs.minimum_commission)

    def miss(column: int, why: str) -> None:
        found.missed.append((bars.symbols[column], why))

    def trade(bar: int, column: int, number: float, price: float, cause: str) -> None:
        nonlocal cash
        cash -= number * price + fee(number, price)
        before = shares[column]
        now = before + number
        if abs(now) < 1e-9:
            now = 0.0
            del entry[column], best[column], anchor[column]
        elif before == 0:
            entry[column] = best[column] = price
            anchor[column] = decided[column] if rules.exits_from_decision else price
        elif abs(now) > abs(before):
            entry[column] = (before * entry[column] + number * price) / now
            if not rules.exits_from_decision:
                anchor[column] = entry[column]
        shares[column] = now
        found.fills.append((bar, column, number, price, cause))

    for bar in range(len(bars)):
        opens = {c: float(bars.open[bar, c]) for c in columns}
        highs = {c: float(bars.high[bar, c]) for c in columns}
        lows = {c: float(bars.low[bar, c]) for c in columns}
        closes = {c: float(bars.close[bar, c]) for c in columns}
        trades = {c: math.isfinite(opens[c]) and float(bars.volume[bar, c]) > 0 for c in columns}

        # 1. the open
        at_open = {c: opens[c] if trades[c] else known[c] for c in columns}
        if rules.size_at is SizeAt.FILL:
            base = rules.capital
            if rules.sizing is Sizing.EQUITY:
                base = cash + sum(shares[c] * at_open[c] for c in columns)
            for c, weight in orders.items():
                each = opens[c] * (1 + spread) * (1 + costs.commission_bps / 10_000) + costs.commission_per_share
                orders[c] = 0.0 if weight == 0 else (down(weight * base / each) if trades[c] else math.nan)
        room = {c: down(float(bars.volume[bar, c]) * rules.maximum_volume) if trades[c] else 0.0 for c in orders}
        then: dict[int, float] = {}
        for c, target in orders.items():
            if not trades[c]:
                miss(c, "no_volume")
                again.add(c)
                continue
            change = target - shares[c]
            then[c] = change
            if shares[c] * change < 0:
                closing = min(abs(change), abs(shares[c]))
                possible = min(closing, room[c])
                sign = 1 if change > 0 else -1
                then[c] = sign * (abs(change) - closing)
                if closing - possible > 1e-9:
                    miss(c, "thin_volume")
                    again.add(c)
                    then[c] = 0.0
                room[c] -= possible
                if possible > 1e-9:
                    trade(bar, c, sign * possible, opens[c] * (1 + sign * spread), "TARGET")
        for c, change in then.items():
            if abs(change) <= 1e-9:
                continue
            sign = 1 if change > 0 else -1
            power = cash
            if not rules.long_only:
                power += 2 * sum(shares[k] * at_open[k] for k in columns if shares[k] < 0)
            price = opens[c] * (1 + spread)
            number = abs(change)
            if number * price + fee(number, price) > power + abs(power) * 1e-12 + 1e-9:
                most = max(power, 0.0) / (price * (1 + costs.commission_bps / 10_000) + costs.commission_per_share)
                by_minimum = max(power - costs.minimum_commission, 0.0) / price
                number = min(number, down(min(most, by_minimum)))
                miss(c, "no_cash")
            if number > 1e-9:
                possible = min(number, room[c])
                if number - possible > 1e-9:
                    miss(c, "thin_volume")
                    again.add(c)
                if possible > 1e-9:
                    trade(bar, c, sign * possible, opens[c] * (1 + sign * spread), "TARGET")
        orders = {}

        # 2. within the bar
        for c in columns:
            if shares[c] == 0 or not trades[c]:
                continue
            price, cause = _exit(rules, shares[c] > 0, anchor[c], best[c], opens[c], highs[c], lows[c])
            best[c] = max(best[c], highs[c]) if shares[c] > 0 else min(best[c], lows[c])
            if cause:
                after_exit[c] = wanted[c]
                again.discard(c)
                trade(bar, c, -shares[c], price, cause)

        # 3. the close
        for c in columns:
            known[c] = closes[c] if math.isfinite(closes[c]) else known[c]
        equity = cash + sum(shares[c] * known[c] for c in columns)
        found.equity.append(equity)
        found.positions.append([shares[c] for c in columns])
        base = rules.capital if rules.sizing is Sizing.CAPITAL else equity
        for c in columns:
            weight = float(targets[bar, c])
            if math.isnan(weight) or weight * after_exit[c] > 0:
                again.discard(c)
                continue
            after_exit[c] = math.nan
            is_new = weight != wanted[c]
            is_due = is_new or c in again
            wanted[c] = weight
            again.discard(c)
            if math.isnan(closes[c]) or base <= 0:
                if is_due:
                    again.add(c)
                continue
            if weight < 0 and rules.long_only:
                if is_new:
                    miss(c, "no_short")
                weight = 0.0
            distance = abs(shares[c] * closes[c] / base - weight)
            if not is_due and (rules.rebalance_band is None or distance <= rules.rebalance_band):
                continue
            target = down(weight * base / closes[c])
            change = target - shares[c]
            if weight != 0 and target == 0 and shares[c] == 0 and is_new:
                miss(c, "below_one_step")
            if abs(change) <= 1e-9:
                continue
            if target != 0 and abs(change) * closes[c] < rules.minimum_trade * base:
                if is_new:
                    miss(c, "below_minimum")
                continue
            orders[c] = target if rules.size_at is SizeAt.DECISION else weight
            decided[c] = closes[c]
    for c in orders:
        miss(c, "end_of_data")
    return found


def _exit(
    rules: Rules, is_long: bool, entry: float, best: float, opened: float, high: float, low: float
) -> tuple[float, str]:
    exits = rules.exits

    def cents(price: float) -> float:
        return price if exits.price_places is None else round(price, exits.price_places)

    spread = (rules.costs.half_spread_bps + rules.costs.slippage_bps) / 10_000
    if is_long:
        stops = []
        if exits.stop_loss is not None:
            stops.append((cents(entry - entry * exits.stop_loss), "STOP_LOSS"))
        if exits.trailing_stop is not None:
            stops.append((best * (1 - exits.trailing_stop), "TRAILING_STOP"))
        if stops:
            stop, cause = max(stops, key=lambda one: one[0])
            if low <= stop:
                return min(stop, opened) * (1 - spread), cause
        if exits.trailing_stop is not None:
            stop = max(best, high) * (1 - exits.trailing_stop)
            if low <= stop:
                return stop * (1 - spread), "TRAILING_STOP"
        if exits.take_profit is not None and high >= cents(entry + entry * exits.take_profit):
            return max(opened, cents(entry + entry * exits.take_profit)), "TAKE_PROFIT"
        return 0.0, ""
    stops = []
    if exits.stop_loss is not None:
        stops.append((cents(entry + entry * exits.stop_loss), "STOP_LOSS"))
    if exits.trailing_stop is not None:
        stops.append((best * (1 + exits.trailing_stop), "TRAILING_STOP"))
    if stops:
        stop, cause = min(stops, key=lambda one: one[0])
        if high >= stop:
            return max(stop, opened) * (1 + spread), cause
    if exits.trailing_stop is not None:
        stop = min(best, low) * (1 + exits.trailing_stop)
        if high >= stop:
            return stop * (1 + spread), "TRAILING_STOP"
    if exits.take_profit is not None and low <= cents(entry - entry * exits.take_profit):
        return min(opened, cents(entry - entry * exits.take_profit)), "TAKE_PROFIT"
    return 0.0, ""
