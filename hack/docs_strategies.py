"""Writes what docs/strategies shows of the built-in strategies: tables of parameters from their models, and charts.

`python hack/docs.py generate` (`make generate`). The charts are backtests on the simulator's own market, from a seed:
the same on every machine. They show what a strategy does, and prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from alpaca_simulator.market.assets import DEFAULT_CATALOGUE
from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.market.prices import Market
from tradingbot_research.charts import Line, line_chart
from tradingbot_research.engine import backtest
from tradingbot_research.handled import rules_of
from tradingbot_research.market import Bars
from tradingbot_research.metrics import hold_everything
from tradingbot_research.result import Result
from tradingbot_research.rules import Rules
from tradingbot_research.sweep import targets_of
from tradingbot_runtime.strategies import registry
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.ensemble import Member

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/strategies"
SEED: Final = 1
FIRST, LAST = date(2022, 1, 3), date(2025, 12, 31)
_CENTS: Final = 100.0
_TABLE: Final = re.compile(r"(<!-- (parameters|members), by make generate -->\n).*?(<!-- end -->)", re.DOTALL)
_COUNTED: Final = {"word": "letters"}
_TECHNOLOGY: Final = ("AAPL", "GOOGL", "MSFT", "NVDA")


@dataclass(frozen=True)
class Shown:
    """What a page's chart shows."""

    symbols: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    """Symbols whose prices are drawn; none: the weights of all."""
    held: str = ""
    """The symbol whose holding is shaded."""


SHOWN: Final = {
    "all-weather": Shown(("DBC", "GLD", "TLT", "VTI")),
    "ensemble": Shown(
        _TECHNOLOGY,
        {
            "members": [
                {"name": "momentum", "share": 0.5, "parameters": {"lookback": 60, "max_weight": 0.25}},
                {"name": "mean-reversion", "share": 0.5, "parameters": {"max_weight": 0.25}},
            ]
        },
        ("AAPL",),
        "AAPL",
    ),
    "mean-reversion": Shown(_TECHNOLOGY, {"max_weight": 0.25}, ("AAPL",), "AAPL"),
    "momentum": Shown(_TECHNOLOGY, {"max_weight": 0.25}, ("AAPL",), "AAPL"),
    "momentum-brackets": Shown(
        _TECHNOLOGY, {"max_weight": 0.25, "stop_loss_percent": 8, "take_profit_percent": 20}, ("AAPL",), "AAPL"
    ),
    "pairs": Shown(("KO", "PEP"), {"first": "KO", "second": "PEP"}, ("KO", "PEP"), "KO"),
}


# Charts ------------------------------------------------------------------


@cache
def market(symbols: tuple[str, ...]) -> Bars:
    """Daily bars of the simulator's market, in dollars."""
    calendar = new_york_stock_exchange()
    made, sessions = Market(SEED, calendar), calendar.between(FIRST, LAST)
    columns: dict[str, list[list[float]]] = {name: [] for name in ("open", "high", "low", "close", "volume")}
    for symbol in symbols:
        asset = DEFAULT_CATALOGUE.listed(symbol)
        if asset is None:
            raise ValueError(f"{symbol} is not listed at the simulator's exchange")
        days = [made.day(asset, session) for session in sessions]
        for name, column in columns.items():
            column.append([getattr(day, name) / (1.0 if name == "volume" else _CENTS) for day in days])
    time = np.array([session.day for session in sessions], dtype="datetime64[D]").astype("datetime64[ns]")
    return Bars(symbols, time, **{name: np.array(column).T.copy() for name, column in columns.items()})


def chart(name: str) -> str:
    """What the strategy held, above what became of the capital, as one picture of SVG text."""
    shown = SHOWN[name]
    bars = market(shown.symbols)
    strategy: Strategy[Any] = registry.load(name, shown.parameters, shown.symbols)
    rules = rules_of(strategy, Rules())
    found = backtest(bars, targets_of(strategy, bars), rules)
    above, words = _above(name, shown, bars, found)
    equity = f"{name}: 100,000 in its hands, and in equal parts of all its symbols, bought and kept"
    below = line_chart(
        equity,
        bars.time,
        [Line("kept", hold_everything(bars, rules).equity, "second"), Line(name, found.equity, "first")],
        height=240,
    )
    return _framed(name, [(words, above, 260), (f"Equity; grey: {', '.join(shown.symbols)} kept", below, 240)])


def _above(name: str, shown: Shown, bars: Bars, found: Result) -> tuple[str, str]:
    if not shown.drawn:
        lines = [
            Line(symbol, found.exposures[:, column], style)
            for column, (symbol, style) in enumerate(
                zip(bars.symbols, ("third", "bad", "second", "first"), strict=True)
            )
        ]
        words = "Parts of the equity: blue VTI, grey TLT, red GLD, brown DBC"
        return line_chart(f"{name}: {words}", bars.time, lines, height=260, form=".0%"), words
    closes = [bars.close[:, bars.symbols.index(symbol)] for symbol in shown.drawn]
    lines = [
        Line(symbol, close / close[0] * 100, style)
        for symbol, close, style in zip(reversed(shown.drawn), reversed(closes), ("third", "first"), strict=False)
    ]
    if len(lines) == 1:
        lines = [Line(lines[0].name, lines[0].values, "first")]
    bands = _stretches(found.positions[:, bars.symbols.index(shown.held)] > 0)
    prices = shown.drawn[0] if len(shown.drawn) == 1 else f"blue {shown.drawn[0]}, brown {shown.drawn[1]}"
    words = f"Prices, 100 at the start: {prices}; shaded: {shown.held} is held"
    return line_chart(f"{name}: {words}", bars.time, lines, height=260, bands=bands), words


def _stretches(held: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], held.astype(np.int8), [0]))))
    return [(int(start), int(min(stop, len(held) - 1))) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


_STYLE: Final = """
:root { --page: #fff; --ink: #17202b; --soft: #5a6675; --rule: #e3e7ec; --band: #dbe8fb; --first: #1f6feb;
  --second: #98a3b0; --third: #b45309; --bad: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --page: #171e26; --ink: #e6ebf1; --soft: #9aa7b5; --rule: #27313c;
  --band: #22385a; --first: #6aa6ff; --second: #7d8996; --third: #f0a35a; --bad: #ff8577; } }
.page { fill: var(--page); } text { font: 12px system-ui, sans-serif; fill: var(--soft); }
.words { fill: var(--ink); font-size: 13px; } .rule, .zero { stroke: var(--rule); } .band { fill: var(--band); }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .line.first { stroke: var(--first); }
.line.second { stroke: var(--second); } .line.third { stroke: var(--third); } .line.bad { stroke: var(--bad); }
"""


def _framed(name: str, panels: list[tuple[str, str, int]]) -> str:
    """Panels one below the other, each with its words above it, in a picture that stands alone."""
    parts, top = [], 8
    for words, svg, height in panels:
        parts.append(f'<text class="words" x="12" y="{top + 14}">{words}</text>')
        parts.append(svg.replace("<svg ", f'<svg x="0" y="{top + 20}" width="960" height="{height}" ', 1))
        top += height + 32
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {top}" role="img" aria-label="{name}">'
        f'<style>{_STYLE}</style><rect class="page" width="960" height="{top}" rx="8"/>{"".join(parts)}</svg>\n'
    )


# Tables ------------------------------------------------------------------


def table_of(model: type[BaseModel]) -> str:
    """Every field of a model: its type with its bounds, its default, and what it is."""
    lines = ["| parameter | type | default | what it is |", "|---|---|---|---|"]
    for name, one in model.model_fields.items():
        default = "required" if one.is_required() else f"`{_plain(one.get_default(call_default_factory=True))}`"
        lines.append(f"| `{name}` | {type_of(one)} | {default} | {_cell(one.description or '')} |")
    return "\n".join(lines) + "\n"


def type_of(one: FieldInfo) -> str:
    """A field's type in words, with its bounds."""
    words = _word(one.annotation)
    found: dict[str, Any] = {}
    for limit in one.metadata:
        for key in ("ge", "gt", "le", "lt", "min_length", "max_length"):
            if getattr(limit, key, None) is not None:
                found[key] = _plain(getattr(limit, key))
    bounds = [found[key] if key == "ge" else f"above {found[key]}" for key in ("ge", "gt") if key in found]
    bounds += [f"to {found[key]}" if key == "le" else f"below {found[key]}" for key in ("le", "lt") if key in found]
    if "max_length" in found:
        bounds.append(f"{found.get('min_length', 0)} to {found['max_length']} {_COUNTED.get(words, 'of them')}")
    return f"{words}, {' '.join(str(bound) for bound in bounds)}" if bounds else words


def _word(annotation: Any) -> str:
    kind = get_origin(annotation) or annotation
    if kind is dict:
        of = get_args(annotation)[1]
        return "parameters by name" if of is Any else "numbers by symbol"
    words = {int: "whole number", float: "number", Decimal: "number", str: "word", tuple: "list of members"}
    return words[kind]


def _plain(value: Any) -> Any:
    if value is PydanticUndefined:
        return ""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) + "}"
    return f"{value:.10g}" if isinstance(value, int | float | Decimal) else value


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# Files ------------------------------------------------------------------


def _with_table(tables: Mapping[str, str], marked: re.Match[str]) -> str:
    return marked[1] + tables[marked[2]] + marked[3]


def contents() -> dict[Path, str]:
    """Every page and every chart, as they should be."""
    found = {}
    for name in SHOWN:
        page = FOLDER / f"{name}.md"
        model = type(registry.load(name, SHOWN[name].parameters)).parameters_model
        tables = {"parameters": table_of(model), "members": table_of(Member)}
        text, count = _TABLE.subn(partial(_with_table, tables), page.read_text(encoding="utf-8"))
        if not count:
            raise ValueError(f"{page}: where does its table go? Write <!-- parameters, by make generate -->")
        found[page] = text
        found[FOLDER / f"{name}.svg"] = chart(name)
    return found


def stale() -> list[Path]:
    """What is not as it should be, or should not be there."""
    return _stale(contents())


def _stale(wanted: Mapping[Path, str]) -> list[Path]:
    changed = {path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    return sorted(changed | (set(FOLDER.glob("*")) - wanted.keys() - {FOLDER / "README.md"}))


def write() -> list[Path]:
    """Writes everything anew; what was changed."""
    wanted = contents()
    changed = _stale(wanted)
    for path in changed:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return changed
