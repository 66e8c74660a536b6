"""What the backtest engines are given, and what each of them has to find: a plain loop, with averages that are exact.

Must never let two averages be so near to each other that an engine's rounding decides whether it trades.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bench.peers.work import Fill, Found, Work

PLACES: Final = 6
"""Decimals of a price."""
LEAST_GAP: Final = 2e-8
"""How far two averages are apart at least, in account currency: sums of a million prices are exact to 1e-9."""
CAPITAL: Final = 1_000_000.0
"""So much that a million bars of trading at random leave enough of it to see the fills' sizes."""
SLIPPAGE: Final = 5e-4
_START_NANOSECONDS: Final = 1_577_836_800 * 10**9  # 2020-01-01
DAY_SECONDS: Final = 86_400
QUANTITY_TOLERANCE: Final = 1e-6
"""By how much a fill's shares may differ, as a share of them: engines round quantities and money, each its own way."""


class AnotherTrade(Exception):
    """An engine did something else than the plain loop; the message has the first difference."""


def drawn(
    bars: int,
    *,
    symbols: int = 1,
    pairs: Sequence[tuple[int, int]] = ((20, 50),),
    bar_seconds: int = 60,
    volatility: float = 5e-4,
    edge: float = 0.0,
    seed: int = 1,
) -> Work:
    """Bars drawn at random, each symbol from 100.

    `volatility` is that of a bar's logarithm; `edge` is its drift, up and down in turns of 200 to 800 bars, so that who
    follows a trend earns. Raises ValueError where two averages are too near to each other: take another seed.
    """
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, volatility, (bars, symbols))
    if edge:
        for column in range(symbols):
            ends = np.cumsum(rng.integers(200, 800, bars // 200 + 1))
            steps[:, column] += np.where(np.searchsorted(ends, np.arange(bars), side="right") % 2, -edge, edge)
    close = np.round(100 * np.exp(np.cumsum(steps, axis=0)), PLACES)
    before = np.vstack((np.full((1, symbols), 100.0), close[:-1]))
    opens = np.round(before * np.exp(rng.normal(0.0, volatility / 5, (bars, symbols))), PLACES)
    work = Work(
        open=np.asfortranarray(opens),
        high=np.asfortranarray(np.maximum(opens, close)),
        low=np.asfortranarray(np.minimum(opens, close)),
        close=np.asfortranarray(close),
        time=_START_NANOSECONDS + np.arange(bars, dtype=np.int64) * bar_seconds * 10**9,
        bar_seconds=bar_seconds,
        pairs=tuple(pairs),
        capital=CAPITAL,
        slippage=SLIPPAGE,
    )
    for column, fast, slow in work.lanes:
        gap = _ahead(work.close[:, column], fast, slow)[slow:] / (fast * slow * 10.0**PLACES)
        if len(gap) and float(np.abs(gap).min()) < LEAST_GAP:
            raise ValueError(f"seed {seed}: averages of {fast} and {slow} bars are too near to each other")
    return work


def _ahead(closes: Any, fast: int, slow: int) -> Any:
    """Fast average less slow one, times both windows, in millionths: whole numbers, so exact; 0 before a full one."""
    units = np.rint(closes * 10**PLACES).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(units)))
    quick, slower = (sums[window:] - sums[:-window] for window in (fast, slow))
    found = np.zeros(len(closes), dtype=np.int64)
    found[slow - 1 :] = quick[slow - fast :] * slow - slower * fast
    return found


def reference(work: Work) -> Found:
    """What the rules of Work lead to, bar after bar."""
    fills: list[Fill] = []
    equity = []
    for number, (column, fast, slow) in enumerate(work.lanes):
        above = (_ahead(work.close[:, column], fast, slow) > 0).tolist()
        cash, shares, wanted = work.capital, 0.0, False
        for bar, price in enumerate(work.open[:, column].tolist()):
            if wanted and not shares:
                shares = cash / (price * (1 + work.slippage))
                cash = 0.0
                fills.append((number, bar, shares))
            elif shares and not wanted:
                fills.append((number, bar, -shares))
                cash += shares * price * (1 - work.slippage)
                shares = 0.0
            wanted = bar >= slow and above[bar]
        equity.append(cash + shares * float(work.close[-1, column]))
    return Found(fills, equity)


def compare(engine: str, found: Found, expected: Found) -> None:
    """Raises AnotherTrade unless lanes, bars and sides are the same, and shares and equity within the tolerance."""
    if found.dropped:
        raise AnotherTrade(f"{engine} dropped orders, the first: {found.dropped[0]}")
    for number, (theirs, ours) in enumerate(itertools.zip_longest(found.fills, expected.fills)):
        same = (
            theirs is not None
            and ours is not None
            and theirs[:2] == ours[:2]
            and abs(theirs[2] - ours[2]) <= QUANTITY_TOLERANCE * abs(ours[2])
        )
        if not same:
            raise AnotherTrade(
                f"{engine}: fill {number + 1} (lane, bar, shares) is {theirs}, but {ours} by the plain loop; "
                f"{len(found.fills)} fills, {len(expected.fills)} by the plain loop"
            )
    for lane, (theirs_at_end, ours_at_end) in enumerate(zip(found.equity, expected.equity, strict=True)):
        if abs(theirs_at_end - ours_at_end) > QUANTITY_TOLERANCE * abs(ours_at_end):
            raise AnotherTrade(f"{engine}: lane {lane} ends with {theirs_at_end}, but {ours_at_end} by the plain loop")
