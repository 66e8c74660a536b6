"""The report: one page that says whether to trust a strategy and shows why. It loads nothing and runs nothing.

Everything that is not a number of ours is escaped. Must look the same for the same validation, on any day.
"""

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from tradingbot_research.artifact import Inputs
from tradingbot_research.charts import Columns, Line, column_chart, histogram, line_chart
from tradingbot_research.result import Obstacle
from tradingbot_research.statistics import drawdowns, expected_best_sharpe
from tradingbot_research.validate import Validation

_YEAR = math.sqrt(252)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def page(found: Validation, inputs: Inputs, warnings: Sequence[str] = ()) -> str:
    """The whole page as HTML."""
    style = files("tradingbot_research").joinpath("report.css").read_text(encoding="utf-8")
    title = f"{found.strategy} on {_some(inputs.data['symbols'])}"
    body = "".join(
        (
            _head(found, inputs, title),
            _figures(found),
            _checks(found),
            _equity(found),
            _walk_forward(found),
            _chance(found),
            _trials(found),
            _months(found),
            _undone(found),
            _caution(found, warnings),
            _inputs(inputs),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def _some(symbols: Sequence[str], most: int = 6) -> str:
    rest = f" and {len(symbols) - most} more" if len(symbols) > most else ""
    return ", ".join(symbols[:most]) + rest


def _head(found: Validation, inputs: Inputs, title: str) -> str:
    failed = [check.name for check in found.checks if not check.passed]
    verdict = "Every check is passed" if not failed else f"{len(failed)} of {len(found.checks)} checks failed"
    style = "failed" if failed else "passed"
    parameters = ", ".join(f"{name} {value}" for name, value in inputs.parameters.items()) or "no parameters"
    dates = found.days.date
    return (
        f"<h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(parameters)} · {escape(inputs.timeframe)} bars · {dates[0]} to {dates[-1]},'
        f" {len(dates)} days</p>"
        f'<p class="verdict {style}">{"✗" if failed else "✓"} {verdict}</p>'
    )


def _figures(found: Validation) -> str:
    own, held = found.metrics, found.held
    rows = (
        ("Annual return", f"{own.annual_return:.1%}", f"held: {held.annual_return:.1%}"),
        ("Sharpe ratio", f"{own.sharpe:.2f}", f"held: {held.sharpe:.2f}"),
        ("Largest drawdown", f"{own.max_drawdown:.1%}", f"held: {held.max_drawdown:.1%}"),
        ("Out of sample", f"{found.walk_forward.outside_sharpe:.2f}", "Sharpe ratio, on days not chosen on"),
        ("Volatility", f"{own.annual_volatility:.1%}", f"held: {held.annual_volatility:.1%}"),
        ("Turnover", f"{own.turnover:.1f} x", "of the equity, a year"),
        ("Fills", f"{own.fills:,}", f"{own.won:,} of {own.closed:,} that closed something with a profit"),
        ("Capacity", _money(own.capacity), "with 19 of 20 fills within 1 % of the volume"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>" for name, value, note in rows)
    return f'<section><dl class="figures">{cells}</dl></section>'


def _money(value: float) -> str:
    for limit, word in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {word}"
    return f"{value:.0f}" if value else "none"


def _checks(found: Validation) -> str:
    rows = "".join(
        f'<tr><td class="{"passed" if one.passed else "failed"}">{"✓ passed" if one.passed else "✗ failed"}</td>'
        f"<td>{escape(one.name)}</td><td>{escape(one.observed)}</td><td>{escape(one.threshold)}</td>"
        f'<td class="soft">{escape(one.means)}</td></tr>'
        for one in found.checks
    )
    return (
        '<section><h2>Checks</h2><div class="scroll"><table><thead><tr><th></th><th>Check</th><th>Observed</th>'
        f"<th>Asked</th><th>What it is</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _equity(found: Validation) -> str:
    days = found.days
    own, held = found.backtest.equity[days.last], found.held_equity[days.last]
    bands = [one.window.test for one in found.walk_forward.judged][::2]
    lines = (Line("equal parts, held", held, "second"), Line(found.strategy, own, "first"))
    equity = line_chart(
        f"Equity of {found.strategy} and of equal parts held",
        days.date,
        lines,
        bands=[(start, min(stop, len(days) - 1)) for start, stop in bands],
    )
    fall = drawdowns(own, found.backtest.capital)
    under = line_chart(
        "Drawdown of the strategy", days.date, [Line("drawdown", -fall, "bad")], height=150, form=".0%", filled=True
    )
    return (
        "<section><h2>Equity</h2><p>"
        f'<span class="key"><i></i>{escape(found.strategy)}</span>'
        '<span class="key"><i class="second"></i>equal parts of everything, held</span>'
        '<span class="key"><i class="band"></i>every other test window</span></p>'
        f"{equity}<h2>Drawdown</h2>{under}</section>"
    )


def _walk_forward(found: Validation) -> str:
    judged, dates = found.walk_forward.judged, found.days.date
    chart = column_chart(
        "Sharpe ratio of each window in training and in test",
        [str(dates[one.window.test[0]])[:7] for one in judged],
        [
            Columns("in training", [one.inside.sharpe * _YEAR for one in judged], "second"),
            Columns("in test", [one.outside.sharpe * _YEAR for one in judged], "first"),
        ],
    )
    rows = "".join(
        f'<tr><td class="dates">{dates[one.window.training[0]]} to {dates[one.window.training[1] - 1]}</td>'
        f'<td class="dates">{dates[one.window.judged[0]]} to {dates[one.window.judged[1] - 1]}</td>'
        f"<td><code>{escape(json.dumps(dict(found.trials[one.chosen].parameters), sort_keys=True))}</code></td></tr>"
        for one in judged
    )
    return (
        "<section><h2>Walk-forward</h2><p>In each window the best of the other parameters is chosen in training, and"
        " then lives through the test. The strategy's own are not among them: they may have been chosen by somebody who"
        " had seen all of these days. What is left of the Sharpe ratio is what may be expected.</p>"
        '<p><span class="key"><i class="second"></i>in training</span><span class="key"><i></i>in test</span></p>'
        f'{chart}<div class="scroll"><table><thead><tr><th>Training</th><th>Test</th><th>Chosen</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _chance(found: Validation) -> str:
    test = found.permutation
    what = (
        "Exposure hardly varies, so there is no timing to test: each day's return gets a sign by chance."
        if found.is_steady
        else "The same positions, held at other times: shifted against the market by every number of bars beyond the"
        " lookback."
    )
    chart = histogram(
        "Mean return under chance, and as observed",
        test.permuted if len(test.permuted) else np.zeros(1),
        [("observed", test.observed, "first")],
        form=".3%",
    )
    return (
        f"<section><h2>Could it be chance?</h2><p>{what} {len(test.permuted):,} permutations; as good or better:"
        f" p {_p(test.p)}. t of the mean return on days nothing was chosen on: {found.t_test.t:.2f}"
        f" (p {_p(found.t_test.p)}).</p>{chart}</section>"
    )


def _p(value: float) -> str:
    return f"= {value:.4f}" if value >= 0.0001 else "&lt; 0.0001"


def _trials(found: Validation) -> str:
    sharpes = np.array([one.moments[-1].sharpe for one in found.trials]) * _YEAR
    overfit = (
        ""
        if found.overfit_probability is None
        else f" Chance that the best in one half of the time is below the median in the other:"
        f" {found.overfit_probability:.0%}."
    )
    text = (
        f"{len(found.trials):,} sets of parameters were run, {found.counted_trials:,} count as tried. The deflated"
        " Sharpe ratio, the chance that this is more than the luck of the best of them, is"
        f" {found.deflated_sharpe:.3f}.{overfit}"
    )
    marks = [("this one", float(sharpes[0]), "first")]
    if len(sharpes) > 2:
        luck = expected_best_sharpe(found.counted_trials, float(sharpes.var(ddof=1)))
        marks.append(("best to expect by luck", luck, "third"))
    chart = histogram("Sharpe ratios of all trials", sharpes, marks, form=".2f", bins=40)
    return f"<section><h2>Other parameters</h2><p>{text}</p>{chart}</section>"


def months_of(found: Validation) -> dict[int, dict[int, float]]:
    """Return of each month by year and month (1 to 12)."""
    months = found.days.date.astype("datetime64[M]").astype(int)
    starts = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    growth = np.multiply.reduceat(1 + found.returns, starts) - 1
    table: dict[int, dict[int, float]] = {}
    for month, value in zip(months[starts].tolist(), growth.tolist(), strict=True):
        table.setdefault(1970 + month // 12, {})[month % 12 + 1] = value
    return table


def _months(found: Validation) -> str:
    table = months_of(found)
    most = max((abs(value) for months in table.values() for value in months.values()), default=0.0) or 1.0
    rows = []
    for year, months in table.items():
        cells = "".join(_month(months.get(number), most) for number in range(1, 13))
        total = math.prod(1 + value for value in months.values()) - 1
        rows.append(f"<tr><th>{year}</th>{cells}<td><b>{total:.1%}</b></td></tr>")
    heads = "".join(f"<th>{name}</th>" for name in ("", *_MONTHS, "Year"))
    return (
        '<section><h2>Returns by month</h2><div class="scroll"><table class="months">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _month(value: float | None, most: float) -> str:
    if value is None:
        return "<td></td>"
    style = "up" if value >= 0 else "down"
    return (
        f'<td class="{style}" style="--weight:{min(abs(value) / most, 1) * 55:.0f}%">{round(value, 3) + 0.0:.1%}</td>'
    )


def _undone(found: Validation) -> str:
    counts = {one: [missed for missed in found.backtest.unfilled if missed.obstacle is one] for one in Obstacle}
    rows = "".join(
        f"<tr><td>{obstacle.value}</td><td>{sum(one.times for one in missed):,}</td>"
        f"<td>{escape(_some(sorted({one.symbol for one in missed})))}</td></tr>"
        for obstacle, missed in counts.items()
        if missed
    )
    if not rows:
        return "<section><h2>Not done</h2><p>Everything that was wanted was done.</p></section>"
    return (
        "<section><h2>Not done</h2><p>What the strategy wanted and the backtest could not do; each one is in"
        " <code>unfilled.parquet</code>.</p><table><thead><tr><th>Why</th><th>Times</th><th>Symbols</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></section>"
    )


def _caution(found: Validation, warnings: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in warnings) or "<li>Nothing is said against these bars.</li>"
    return f"<section><h2>Read with care</h2><ul>{items}</ul></section>"


def _inputs(inputs: Inputs) -> str:
    document: dict[str, Any] = inputs.document()
    shown = {
        "data": document["data"]["fingerprint"],
        "code": document["code_digest"],
        "inputs": inputs.digest,
        "rules": json.dumps(document["rules"], sort_keys=True),
        "versions": json.dumps(document["versions"], sort_keys=True),
    }
    rows = "".join(f"<tr><th>{name}</th><td><code>{escape(value)}</code></td></tr>" for name, value in shown.items())
    return (
        "<section><h2>What it was made from</h2><p>The same inputs give the same files, byte for byte.</p>"
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div></section>'
    )
