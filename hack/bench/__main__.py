"""`make bench`: runs the benches asked for, says what it is doing, and ends with a table.

Must not fail because something was slow, only because something did not run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench import (
    backtest_peers,
    kill_switch,
    operator_promotion,
    operator_scale,
    runtime_footprint,
    runtime_journal,
    runtime_kill,
    runtime_restart,
    runtime_signals,
    simulator_accounts,
    simulator_bars,
    simulator_memory,
    simulator_orders,
    simulator_streams,
)
from bench.harness import Bench, Measurement, Scale, machine, table

#: One module each; a new one is added here.
BENCHES: tuple[Bench, ...] = (
    simulator_orders.BENCH,
    simulator_bars.BENCH,
    simulator_accounts.BENCH,
    simulator_memory.BENCH,
    simulator_streams.BENCH,
    runtime_signals.BENCH,
    runtime_journal.BENCH,
    runtime_restart.BENCH,
    runtime_footprint.BENCH,
    runtime_kill.BENCH,
    kill_switch.BENCH,
    operator_promotion.BENCH,
    operator_scale.BENCH,
    backtest_peers.BENCH,
)

DESCRIPTION = """\
Measure what the parts of this project cost, each beside something bare in the same run: a dict, an echo server,
a broadcast, another backtest engine. Read the ratios; the times are this machine's, and of this moment if it does
other work."""
EXAMPLES = """\
  make bench                                       everything, the quick way
  make bench ARGS='--only simulator-orders'        one bench; repeat --only for more
  make bench ARGS='--full --output bench.json'     with what takes minutes, and every sample as JSON"""


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; 0 only if every bench ran."""
    names = [bench.name for bench in BENCHES]
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=DESCRIPTION,
        epilog=f"examples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="run this one (see --list)")
    parser.add_argument("--list", action="store_true", help="say what there is, and how long it usually takes")
    parser.add_argument("--full", action="store_true", help="also what takes minutes")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="samples of each figure (default 5)")
    parser.add_argument(
        "--steady-seconds",
        type=float,
        default=Scale.steady_seconds,
        metavar="N",
        help="how long the operator is watched doing nothing (default 600)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write every sample as JSON")
    asked = parser.parse_args(arguments)
    if asked.repeats < 1:
        parser.error("--repeats must be at least 1")
    if asked.list:
        print("\n".join(_listed(bench) for bench in BENCHES))
        return 0
    chosen = [bench for bench in BENCHES if not asked.only or bench.name in asked.only]
    found, failed = _run(chosen, Scale(asked.repeats, asked.full, asked.steady_seconds))
    print(f"\n{table(found)}")
    if asked.output:
        _write(asked.output, found)
    for name in failed:
        print(f"did not run: {name} (see above)", file=sys.stderr)
    return 1 if failed else 0


def _listed(bench: Bench) -> str:
    more = f"; --full adds {bench.full_adds}" if bench.full_adds else ""
    return f"{bench.name:<20} {bench.title} (usually {bench.usual_seconds:g} s{more})"


def _run(chosen: Sequence[Bench], scale: Scale) -> tuple[list[tuple[Bench, list[Measurement]]], list[str]]:
    found, failed = [], []
    for number, bench in enumerate(chosen, 1):
        say(f"[{number}/{len(chosen)}] {bench.name}: {bench.title} (usually {bench.usual_seconds:g} s)")
        began = time.monotonic()
        measurements: list[Measurement] = []
        try:
            for one in bench.run(scale):
                measurements.append(one)
                say(
                    f"    {one.what}: {one.median:,.3g} {one.unit}"
                    + (f", {one.ratio:.3g} x {one.beside}" if one.ratio else "")
                )
        except Exception:
            # One that cannot run keeps nobody from the others, and is told at the end.
            traceback.print_exc()
            failed.append(bench.name)
        found.append((bench, measurements))
        say(f"    took {time.monotonic() - began:.0f} s")
    return found, failed


def _write(path: Path, found: Sequence[tuple[Bench, Sequence[Measurement]]]) -> None:
    benches = {bench.name: [one.as_json() for one in measurements] for bench, measurements in found}
    path.write_text(json.dumps({"machine": machine(), "benches": benches}, indent=2) + "\n", encoding="utf-8")
    say(f"wrote {path}")


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
