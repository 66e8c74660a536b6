"""From a validation to its folder and its evidence. The evidence is what a gate reads: figures, and hashes of files."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Final

from tradingbot_api import ValidationEvidence
from tradingbot_research import tables
from tradingbot_research.artifact import Inputs, Written, plain, verified, write_folder
from tradingbot_research.metrics import Metrics
from tradingbot_research.report import page
from tradingbot_research.result import Result
from tradingbot_research.validate import Validation

MOST_EVIDENCE_BYTES: Final = 3500
_PLACES: Final = Decimal("0.0001")


def publish(parent: Path, found: Validation, inputs: Inputs, warnings: Sequence[str] = ()) -> Written:
    """Writes the folder of a validation: manifest, report, and tables. Raises NotReproduced, OSError."""
    report = page(found, inputs, warnings)
    return write_folder(
        parent,
        inputs,
        {
            "passed": found.passed,
            "checks": found.checks,
            "metrics": found.metrics,
            "held": found.held,
            "walkForward": {
                "insideSharpe": found.walk_forward.inside_sharpe,
                "outsideSharpe": found.walk_forward.outside_sharpe,
                "insideReturn": found.walk_forward.inside_return,
                "outsideReturn": found.walk_forward.outside_return,
                "windows": found.walk_forward.judged,
            },
            "tTest": found.t_test,
            "timingP": found.timing.p,
            "signsP": found.signs.p,
            "isSteady": found.is_steady,
            "deflatedSharpe": found.deflated_sharpe,
            "overfitProbability": found.overfit_probability,
            "trials": found.counted_trials,
            "unfilled": len(found.backtest.unfilled),
            "warnings": list(warnings),
        },
        {
            "report.html": lambda path: _write_text(path, report),
            "trades.parquet": lambda path: tables.write_table(tables.trades(found.backtest), path),
            "unfilled.parquet": lambda path: tables.write_table(tables.unfilled(found.backtest), path),
            "equity.parquet": lambda path: tables.write_table(tables.equity(found.backtest), path),
            "walk_forward.parquet": lambda path: tables.write_table(tables.equity(found.walk_forward.result), path),
            "trials.parquet": lambda path: tables.write_table(tables.trials(found.trials), path),
        },
    )


def publish_backtest(parent: Path, found: Result, metrics: Metrics, inputs: Inputs) -> Written:
    """Writes the folder of a backtest alone: manifest and tables. Raises NotReproduced, OSError."""
    return write_folder(
        parent,
        inputs,
        {"metrics": metrics, "unfilled": len(found.unfilled)},
        {
            "trades.parquet": lambda path: tables.write_table(tables.trades(found), path),
            "unfilled.parquet": lambda path: tables.write_table(tables.unfilled(found), path),
            "equity.parquet": lambda path: tables.write_table(tables.equity(found), path),
        },
    )


def evidence(found: Validation, inputs: Inputs, written: Written, image: str = "") -> ValidationEvidence:
    """What a gate reads. `image`: the digest of the image that computed it; without one, that of the sources."""
    return ValidationEvidence(
        sharpe=_rounded(found.metrics.sharpe, ROUND_FLOOR),
        max_drawdown_percent=_rounded(found.metrics.max_drawdown * 100, ROUND_CEILING),
        walk_forward_efficiency_percent=_rounded(found.efficiency * 100, ROUND_FLOOR),
        overfit_ratio=_rounded(found.overfit_ratio, ROUND_CEILING),
        t_statistic=_rounded(found.t_test.t, ROUND_FLOOR),
        permutation_p=_rounded(found.permutation.p, ROUND_CEILING),
        deflated_sharpe=_rounded(found.deflated_sharpe, ROUND_FLOOR),
        causal=not found.causality,
        artifacts=list(written.artifacts),
        artifacts_verified=verified(written),
        parameters_digest=inputs.parameters_digest,
        code_digest=image or f"sha256:{inputs.code_digest}",
        data_fingerprint=inputs.data["fingerprint"],
    )


def termination_message(document: ValidationEvidence) -> str:
    """The evidence as JSON for a Job's termination message. Raises ValueError where it is too long for one."""
    text = document.model_dump_json(by_alias=True)
    if len(text.encode()) > MOST_EVIDENCE_BYTES:
        raise ValueError(f"the evidence has {len(text.encode())} bytes: a termination message has room for less")
    return text


def _rounded(value: float, against_it: str) -> Decimal:
    """Four decimals, away from the threshold that it has to pass: rounding never passes a check."""
    return Decimal(str(plain(value))).quantize(_PLACES, rounding=against_it)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
