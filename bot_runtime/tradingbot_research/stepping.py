"""The backtest itself: from one bar where something happens to the next. What lies between is looked over in bulk.

Each such bar is worked off in full, in the order of a real day: fills at its open, exits within it, the decision at its
close. Must never leave an order without a fill or a reason.
"""

import math
from dataclasses import replace
from typing import Final

import numpy as np

from tradingbot_research.drift import NEVER, first_due, first_outside, quiet_prices
from tradingbot_research.exits import Held, exit_of, first_touch
from tradingbot_research.market import Bars, Flags, Floats
from tradingbot_research.result import Cause, Fills, Obstacle, Result, Unfilled
from tradingbot_research.rules import BASIS_POINT, Rules, SizeAt, Sizing

_FIRST_LOOK: Final = 64
_LONGEST_LOOK: Final = 8192
_HAIR: Final = 1e-9
"""Shares below this are none: what is left of subtracting parts of shares."""


class Stepping:
    """One run. `targets`: bars x symbols, NaN keeps what is held."""

    def __init__(self, bars: Bars, targets: Floats, rules: Rules) -> None:
        self.bars, self.targets, self.rules = bars, targets, rules
        columns = len(bars.symbols)
        self.cash = rules.capital
        self.shares = [0.0] * columns
        self.wanted: list[float] = [math.nan] * columns  # the target last decided on
        self.again = [False] * columns  # what came to nothing for want of volume is decided on anew
        self.stopped: list[float] = [math.nan] * columns  # an exit's target: no new entry on its side until it was 0
        self.held: list[Held | None] = [None] * columns
        self.decided: list[float] = [math.nan] * columns  # the close that the last order was decided on
        self.orders: dict[int, float] = {}  # column -> shares to hold, or at SizeAt.FILL the weight
        self.rows: list[tuple[float, ...]] = []
        self.missed: dict[tuple[int, Obstacle], Unfilled] = {}
        self.unfilled: list[Unfilled] = []
        tradable = bars.tradable
        all_there = bool(tradable.all())
        self.highs = bars.high if all_there else np.where(tradable, bars.high, -np.inf)
        self.lows = bars.low if all_there else np.where(tradable, bars.low, np.inf)
        self.changes = np.append(np.flatnonzero(changed_rows(targets)), len(bars)).tolist()
        self._change = 0
        # Where all are brought back together, a trade below the minimum of one part may bring a large one of another.
        loose = rules.rebalance_together
        self._quiet_rules = replace(rules, minimum_trade=0.0, share_step=0.0) if loose else rules
        self._rebalanced: np.datetime64 | None = None  # the day of the last decision, where they are to lie apart
        self._quiet: tuple[Floats, Floats] | None = None  # see _quiet_prices
        self._seen = -1  # the last bar whose best prices are in `held`

    def run(self) -> Result:
        """Goes through all bars."""
        bar = self._next(-1)
        while bar < len(self.bars):
            self._step(bar)
            bar = self._next(bar)
        for column, target in self.orders.items():
            if self.rules.size_at is SizeAt.FILL:
                closes = self.bars.marks[-1].tolist()
                target = self._shares_for(target, closes[column], self._base(closes))
            self._miss(len(self.bars) - 1, column, target - self.shares[column], Obstacle.END_OF_DATA)
        self.unfilled += self.missed.values()
        self.unfilled.sort(key=lambda one: (one.bar, one.symbol, one.obstacle.value))
        return Result(self.bars, self.rules.capital, Fills.of(self.rows), tuple(self.unfilled))

    # -------------------------------------------------------------- where something happens next

    def _next(self, bar: int) -> int:
        """The next bar that has to be looked at, or the number of bars. May be too early, never too late."""
        if self.orders or any(self.again):
            return bar + 1
        while self.changes[self._change] <= bar:
            self._change += 1
        until: int = self.changes[self._change]
        watches_exits = self.rules.exits.any and any(self.held)
        if not watches_exits and self.rules.rebalance_band is None:
            return until
        self._quiet = None
        start, length = bar + 1, _FIRST_LOOK
        while start < until:
            stop = min(start + length, until)
            found = self._first_in(start, stop, watches_exits)
            if found is not None:
                return found
            self._carry_best(stop)
            start, length = stop, min(length * 2, _LONGEST_LOOK)
        return until

    def _first_in(self, start: int, stop: int, watches_exits: bool) -> int | None:
        found = None if self.rules.rebalance_band is None else self._first_drift(start, stop)
        if not watches_exits:
            return None if found is None else start + found
        for column, held in enumerate(self.held):
            if held is not None:
                end = stop if found is None else start + found + 1
                highs, lows = self.highs[start:end, column], self.lows[start:end, column]
                touch = first_touch(held, 1 if self.shares[column] > 0 else -1, highs, lows, self.rules.exits)
                found = touch if touch is not None and (found is None or touch < found) else found
        return None if found is None else start + found

    def _first_drift(self, start: int, stop: int) -> int | None:
        bars, rules = self.bars, self.rules
        if rules.sizing is Sizing.CAPITAL:
            if self._quiet is None:
                self._quiet = self._quiet_prices(start)
            return first_outside(bars.close[start:stop], *self._quiet)
        targets = self.targets[start]
        weights = np.where(targets * np.array(self.stopped) > 0, np.nan, targets)
        shares = np.array(self.shares)
        return first_due(bars.close[start:stop], bars.marks[start:stop], self.cash, shares, weights, self._quiet_rules)

    def _quiet_prices(self, bar: int) -> tuple[Floats, Floats]:
        """Lowest and highest close of each symbol that lead to no decision; the same until the next step."""
        bounds = [
            NEVER if weight * stopped > 0 else quiet_prices(weight, shares, self._quiet_rules)
            for weight, stopped, shares in zip(self.targets[bar].tolist(), self.stopped, self.shares, strict=True)
        ]
        low, high = zip(*bounds, strict=True)
        return np.array(low), np.array(high)

    def _carry_best(self, stop: int) -> None:
        """Brings the best prices of what is held up to the bar before `stop`."""
        start, self._seen = self._seen + 1, max(self._seen, stop - 1)
        if self.rules.exits.trailing_stop is None or start >= stop:
            return
        for column, held in enumerate(self.held):
            if held is not None and self.shares[column] > 0:
                held.best = max(held.best, float(self.highs[start:stop, column].max()))
            elif held is not None:
                held.best = min(held.best, float(self.lows[start:stop, column].min()))

    # -------------------------------------------------------------- one bar

    def _step(self, bar: int) -> None:
        self._carry_best(bar)
        if self.orders:
            self._fill(bar)
        if self.rules.exits.any:
            self._exit(bar)
        self._seen = bar
        self._decide(bar)

    def _base(self, marks: list[float]) -> float:
        if self.rules.sizing is Sizing.CAPITAL:
            return self.rules.capital
        return self.cash + sum(shares * mark for shares, mark in zip(self.shares, marks, strict=True))

    def _shares_for(self, weight: float, price: float, base: float) -> float:
        """Shares whose price with all costs is that share of the base."""
        costs = self.rules.costs
        each = price * (1 + costs.price_share) * (1 + costs.commission_bps * BASIS_POINT) + costs.commission_per_share
        return self.rules.whole(weight * base / each)

    def _opens(self, bar: int) -> list[float]:
        """Prices at the bar's open; the last close of a symbol that has none."""
        opens: list[float] = self.bars.open[bar].tolist()
        tradable = self.bars.tradable[bar].tolist()
        if all(tradable):
            return opens
        before = self.bars.marks[max(bar - 1, 0)].tolist()
        return [price if there else last for price, there, last in zip(opens, tradable, before, strict=True)]

    def _fill(self, bar: int) -> None:
        """Works off the orders at the bar's open: first all that makes positions smaller, then the rest."""
        orders, self.orders = self.orders, {}
        opens = self._opens(bar)
        at_fill = self.rules.size_at is SizeAt.FILL
        base = self._base(opens) if at_fill else 0.0
        deltas: dict[int, float] = {}
        for column, asked in orders.items():
            target = self._shares_for(asked, opens[column], base) if at_fill else asked
            delta = target - self.shares[column]
            if self.bars.tradable[bar, column]:
                deltas[column] = delta
            else:
                self._miss(bar, column, delta, Obstacle.NO_VOLUME)
                self.again[column] = True
        volume = {column: self._volume(bar, column) for column in deltas}
        for column, delta in deltas.items():
            held = self.shares[column]
            if held * delta < 0:
                closing = math.copysign(min(abs(delta), abs(held)), delta)
                left = self._trade_within(bar, column, closing, opens[column], volume, delta - closing)
                # The other side is opened only from flat: what could not be closed is in the way.
                deltas[column] = 0.0 if left else delta - closing
        for column, delta in deltas.items():
            if abs(delta) > _HAIR:
                enough = self._affordable(column, delta, opens)
                if abs(delta) - enough > _HAIR:
                    self._miss(bar, column, delta - math.copysign(enough, delta), Obstacle.NO_CASH)
                if enough > _HAIR:
                    self._trade_within(bar, column, math.copysign(enough, delta), opens[column], volume)

    def _volume(self, bar: int, column: int) -> float:
        return self.rules.whole(float(self.bars.volume[bar, column]) * self.rules.maximum_volume)

    def _affordable(self, column: int, delta: float, opens: list[float]) -> float:
        """Shares that the buying power allows: what all positions are worth together never exceeds the equity."""
        power = self.cash
        if not self.rules.long_only:
            power += 2 * sum(shares * price for shares, price in zip(self.shares, opens, strict=True) if shares < 0)
        price = opens[column] * (1 + self.rules.costs.price_share)
        enough = self.rules.costs.affordable(power * (1 + 1e-12), price)
        return abs(delta) if enough >= abs(delta) * (1 - 1e-12) else self.rules.whole(enough)

    def _trade_within(
        self, bar: int, column: int, delta: float, opened: float, volume: dict[int, float], then: float = 0.0
    ) -> bool:
        """Trades as much as the bar's volume allows; whether something was left. `then`: what was to follow it."""
        done = math.copysign(min(abs(delta), volume[column]), delta)
        volume[column] -= abs(done)
        if abs(delta) - abs(done) > _HAIR:
            self._miss(bar, column, delta - done + then, Obstacle.THIN_VOLUME)
            self.again[column] = True
        if abs(done) > _HAIR:
            side = 1 if done > 0 else -1
            self._trade(bar, column, done, opened * (1 + side * self.rules.costs.price_share), Cause.TARGET)
        return abs(delta) - abs(done) > _HAIR

    def _exit(self, bar: int) -> None:
        rules, bars = self.rules, self.bars
        for column, held in enumerate(self.held):
            if held is None or not bars.tradable[bar, column]:
                continue
            side = 1 if self.shares[column] > 0 else -1
            opened, high = float(bars.open[bar, column]), float(bars.high[bar, column])
            low = float(bars.low[bar, column])
            found = exit_of(held, side, opened, high, low, rules.exits, rules.costs)
            if found is not None:
                self.stopped[column] = self.wanted[column]
                self.again[column] = False
                self._trade(bar, column, -self.shares[column], *found)

    def _trade(self, bar: int, column: int, shares: float, price: float, cause: Cause) -> None:
        commission = self.rules.costs.commission(shares, price)
        before = self.shares[column]
        after = before + shares
        after = 0.0 if abs(after) < _HAIR else after
        held = self.held[column]
        entry = price if held is None else held.entry
        self.cash -= shares * price + commission
        self.shares[column] = after
        self.rows.append((bar, column, shares, price, commission, cause, after, self.cash, entry))
        if after == 0.0:
            self.held[column] = None
        elif held is None:
            self.held[column] = Held(price, self.decided[column] if self.rules.exits_from_decision else price, price)
        elif before * shares > 0:
            held.entry = (before * held.entry + shares * price) / after
            held.anchor = held.anchor if self.rules.exits_from_decision else held.entry
        if self.missed:
            for key in [key for key in self.missed if key[0] == column]:
                self.unfilled.append(self.missed.pop(key))

    def _miss(self, bar: int, column: int, shares: float, obstacle: Obstacle) -> None:
        last = self.missed.get((column, obstacle))
        times, since = (1, bar) if last is None else (last.times + 1, last.bar)
        self.missed[column, obstacle] = Unfilled(since, self.bars.symbols[column], shares, obstacle, times)

    def _decide(self, bar: int) -> None:
        rules = self.rules
        targets, closes = self.targets[bar].tolist(), self.bars.close[bar].tolist()
        in_capital = rules.sizing is Sizing.CAPITAL
        base = rules.capital if in_capital else self._base(self.bars.marks[bar].tolist())
        together = rules.rebalance_together and self._is_due(bar, targets, closes, base)
        for column, weight in enumerate(targets):
            if weight != weight or weight * self.stopped[column] > 0:
                self.again[column] = False  # there is no wish any more
                continue
            self.stopped[column] = math.nan
            changed = weight != self.wanted[column] or self.again[column]
            close = closes[column]
            if close != close or base <= 0:
                self.again[column] = changed
                self.wanted[column] = weight
                continue
            newly = weight != self.wanted[column]
            self.wanted[column], self.again[column] = weight, False
            if weight < 0 and rules.long_only:
                if newly:
                    self._miss(bar, column, rules.whole(weight * base / close), Obstacle.NO_SHORT)
                weight = 0.0
            if rules.resizes or not newly or self.shares[column] * weight <= 0:
                self._ask(bar, column, weight, base, close, changed or together, newly)

    def _is_due(self, bar: int, targets: list[float], closes: list[float], base: float) -> bool:
        """Whether a position is beyond the band, and the last decision long enough ago; this one is remembered."""
        rules, day = self.rules, self.bars.time[bar].astype("datetime64[D]")
        band, least = (rules.rebalance_band or 0.0) + _HAIR, 0.0 if rules.long_only else -math.inf
        rest = self._rebalanced is not None and (day - self._rebalanced).astype(int) < rules.rebalance_days
        due = (
            not rest
            and base > 0
            and any(
                abs(shares * close / base - max(weight, least)) > band
                for weight, close, shares in zip(targets, closes, self.shares, strict=True)
                if weight == weight and close == close
            )
        )
        newly = (weight != wanted for weight, wanted in zip(targets, self.wanted, strict=True) if weight == weight)
        if due or any(newly):
            self._rebalanced = day
        return due

    def _ask(self, bar: int, column: int, weight: float, base: float, close: float, changed: bool, newly: bool) -> None:
        """Makes an order where what is held is far enough from what is wanted."""
        rules, held = self.rules, self.shares[column]
        band = rules.rebalance_band
        is_within = band is None or rules.rebalance_together or abs(held * close / base - weight) <= band
        if not changed and is_within:
            return
        target = rules.whole(weight * base / close)
        if weight and not target and newly and not held:
            self._miss(bar, column, weight * base / close, Obstacle.BELOW_ONE_STEP)
        delta = target - held
        if abs(delta) <= _HAIR:
            return
        if target and abs(delta) * close < rules.minimum_trade * base:
            if newly:
                self._miss(bar, column, delta, Obstacle.BELOW_MINIMUM)
            return
        self.orders[column] = target if rules.size_at is SizeAt.DECISION else weight
        self.decided[column] = close


def changed_rows(targets: Floats) -> Flags:
    """Bars whose targets are not those of the bar before; the first is one."""
    found = np.ones(len(targets), dtype=np.bool_)
    before, after = targets[:-1], targets[1:]
    if targets.shape[1] == 1:
        # NaN differs from itself: two in a row are a change that is looked at and comes to nothing.
        np.not_equal(after[:, 0], before[:, 0], out=found[1:])
        nothing = np.isnan(targets[:, 0])
        found[1:] &= ~(nothing[1:] & nothing[:-1])
        return found
    found[1:] = ((after != before) & ~(np.isnan(after) & np.isnan(before))).any(axis=1)
    return found
