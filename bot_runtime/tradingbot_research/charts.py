"""Charts as SVG text: lines, columns and histograms. Pure; colours are names of the page's style, never values here.

A chart is a picture with a title that says what it shows: each carries the same for who cannot see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradingbot_research.market import Floats

WIDTH: Final = 960
MOST_POINTS: Final = 900
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 26


@dataclass(frozen=True)
class Line:
    """A series: its name, its values, and the name of its style."""

    name: str
    values: Floats
    style: str


@dataclass(frozen=True)
class Columns:
    """A series of columns beside others."""

    name: str
    values: Sequence[float]
    style: str


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    height: int

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _TOP + (1 - share) * (self.height - _TOP - _BOTTOM)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, some `wanted` of them: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) / wanted
    if not span > 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span * 0.999)
    first = int(np.ceil(low / step - 1e-9))
    return [number * step for number in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def thinned(values: Floats) -> NDArray[np.int64]:
    """Places of so many values that a line through them looks the same: of each stretch its lowest and highest."""
    if len(values) <= MOST_POINTS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), MOST_POINTS // 2 + 1).astype(int).tolist()
    picked = {0, len(values) - 1}
    for start, stop in pairwise(edges):
        part = values[start:stop]
        picked |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(picked))


def line_chart(
    title: str,
    dates: NDArray[np.datetime64],
    lines: Sequence[Line],
    *,
    height: int = 300,
    form: str = ",.0f",
    filled: bool = False,
    bands: Sequence[tuple[int, int]] = (),
) -> str:
    """Lines over dates. `form` is how values are written; `filled`: down to zero; `bands`: shaded ranges of places."""
    everything = np.concatenate([line.values for line in lines])
    low, high = float(everything.min()), float(everything.max())
    low, high = (min(low, 0.0), max(high, 0.0)) if filled else (low, high)
    pad = (high - low) * 0.04 or max(abs(high), 1.0) * 0.04
    scale = _Scale(low - pad * (not filled or low < 0 or low == high), high + pad * (not filled or high > 0), height)
    last = max(len(dates) - 1, 1)

    def x(place: float) -> float:
        return _LEFT + place / last * (WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<rect class="band" x="{x(start):.1f}" y="{_TOP}" width="{x(stop) - x(start):.1f}" '
        f'height="{height - _TOP - _BOTTOM}"/>'
        for start, stop in bands
    ]
    parts += _rules(scale, form)
    parts += [
        f'<text class="tick" x="{x(place):.1f}" y="{height - 8}" text-anchor="middle">{label}</text>'
        for place, label in date_labels(dates)
    ]
    for line in lines:
        points = " ".join(
            f"{x(place):.1f},{scale.y(line.values[place]):.1f}" for place in thinned(line.values).tolist()
        )
        if filled:
            zero = scale.y(0.0)
            area = f"{x(0):.1f},{zero:.1f} {points} {x(last):.1f},{zero:.1f}"
            parts.append(f'<polygon class="area {line.style}" points="{area}"/>')
        parts.append(f'<polyline class="line {line.style}" points="{points}"/>')
    return _svg(title, height, parts)


def column_chart(title: str, labels: Sequence[str], series: Sequence[Columns], *, height: int = 240) -> str:
    """Columns in groups, one group a label, each with its value above it."""
    everything = [value for one in series for value in one.values]
    low, high = min(0.0, *everything), max(0.0, *everything)
    pad = (high - low) * 0.14 or 1.0
    scale = _Scale(low - pad * (low < 0), high + pad, height)
    group = (WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    wide = min(48.0, group * 0.7 / len(series))
    parts = _rules(scale, ".1f")
    zero = scale.y(0.0)
    for place, label in enumerate(labels):
        middle = _LEFT + (place + 0.5) * group
        parts.append(
            f'<text class="tick" x="{middle:.1f}" y="{height - 8}" text-anchor="middle">{escape(label)}</text>'
        )
        for number, one in enumerate(series):
            left = middle + (number - len(series) / 2) * wide + 1
            value = one.values[place]
            top, bottom = sorted((scale.y(value), zero))
            parts.append(
                f'<rect class="column {one.style}" x="{left:.1f}" y="{top:.1f}" width="{wide - 2:.1f}" '
                f'height="{max(bottom - top, 1):.1f}" rx="2"><title>{escape(f"{label} {one.name}: {value:.2f}")}'
                "</title></rect>"
            )
            above = top - 4 if value >= 0 else bottom + 13
            parts.append(
                f'<text class="value" x="{left + wide / 2 - 1:.1f}" y="{above:.1f}" text-anchor="middle">{value:.2f}'
                "</text>"
            )
    return _svg(title, height, parts)


def histogram(
    title: str, values: Floats, marks: Sequence[tuple[str, float, str]], *, form: str, height: int = 220, bins: int = 48
) -> str:
    """How often values occur, and marks (name, value, style) where something stands among them."""
    ends = np.concatenate((values, [value for _, value, _ in marks]))
    low, high = float(ends.min()), float(ends.max())
    pad = (high - low) * 0.05 or max(abs(high), 1e-6) * 0.5
    low, high = low - pad, high + pad
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    scale = _Scale(0.0, max(float(counts.max(initial=0)), 1.0) * 1.12, height)

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    parts = _rules(scale, ",.0f", wanted=3)
    for count, start, stop in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            top = scale.y(count)
            parts.append(
                f'<rect class="column muted" x="{x(start) + 0.5:.1f}" y="{top:.1f}"'
                f' width="{x(stop) - x(start) - 1:.1f}"'
                f' height="{scale.y(0.0) - top:.1f}"><title>{start:{form}} to {stop:{form}}: {count}</title></rect>'
            )
    parts += [
        f'<text class="tick" x="{x(value):.1f}" y="{height - 8}" text-anchor="middle">{value:{form}}</text>'
        for value in ticks(low, high, 7)
    ]
    for number, (name, value, style) in enumerate(marks):
        place = x(value)
        anchor, shift = ("end", -6) if place > WIDTH * 0.7 else ("start", 6)
        parts.append(
            f'<line class="mark {style}" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{scale.y(0.0):.1f}"/>'
        )
        parts.append(
            f'<text class="label {style}" x="{place + shift:.1f}" y="{_TOP + 14 + 18 * number}" text-anchor="{anchor}">'
            f"{escape(name)} {value:{form}}</text>"
        )
    return _svg(title, height, parts)


def date_labels(dates: NDArray[np.datetime64], most: int = 9) -> list[tuple[int, str]]:
    """Places and words for an axis of dates: the first of a year, of a month or of a day, whichever fits."""
    for unit, length in (("Y", 4), ("M", 7), ("D", 10)):
        periods = dates.astype(f"datetime64[{unit}]")
        starts = np.flatnonzero(periods[1:] != periods[:-1]) + 1
        if len(starts) >= 3 or unit == "D":
            picked = starts[:: -(-len(starts) // most)] if len(starts) else starts
            return [(place, str(dates[place].astype("datetime64[D]"))[:length]) for place in picked.tolist()]
    return []


def _rules(scale: _Scale, form: str, wanted: int = 5) -> list[str]:
    found = []
    for value in ticks(scale.low, scale.high, wanted):
        y = scale.y(value)
        style = "zero" if abs(value) < 1e-12 else "rule"
        found.append(f'<line class="{style}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value + 0.0:{form}}</text>'
        )
    return found


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
