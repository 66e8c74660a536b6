"""A run of `tradingbot ci` as a table, as JUnit, as JSON, and as Markdown for a pull request. Pure: values to text.

Must never let words of others become part of the document that holds them: not in XML, and not in Markdown.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree

from tradingbot_runtime.commands.ci_findings import Finding, Findings, Outcome, names, plain
from tradingbot_runtime.commands.ci_voids import Change, Compared
from tradingbot_runtime.commands.tables import table

SUITE: Final = "tradingbot ci"
MOST_SUMMARY_CHARACTERS: Final = 60_000
"""A comment of a pull request holds 65,536."""
_CELL: Final = 80
"""Characters of a cell in the terminal; every message stands in whole below the table."""


def as_table(found: Findings) -> str:
    """For people, in a terminal or a log."""
    rows = [
        (one.bot, one.check, one.outcome.value, _cut(one.observed), _cut(one.threshold or one.message))
        for one in found.all
    ]
    lines = [table(("BOT", "CHECK", "RESULT", "OBSERVED", "ASKED"), rows)]
    failed = [one for one in found.all if one.outcome is Outcome.FAILED]
    lines += ["", *(f"FAILED {one.bot} {one.check}: {one.message}" for one in failed)] if failed else []
    for one in found.compared:
        lines += ["", *_told(one)]
    return "\n".join([*lines, "", _sum(found)])


def as_junit(found: Findings) -> str:
    """One testsuite, one testcase for each check of each bot, named by bot and check."""
    counts = {
        "tests": str(len(found.all)),
        "failures": str(found.count(Outcome.FAILED)),
        "errors": "0",
        "skipped": str(found.count(Outcome.SKIPPED)),
        "time": f"{sum(one.seconds for one in found.all):.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **counts})
    for one in found.all:
        about = {"classname": one.bot, "name": one.check, "time": f"{one.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", about)
        shown = "\n".join(
            f"{what}: {words}" for what, words in (("observed", one.observed), ("asked", one.threshold)) if words
        )
        if one.outcome is Outcome.FAILED:
            ElementTree.SubElement(case, "failure", {"type": "CheckFailed", "message": one.message}).text = shown
        elif one.outcome is Outcome.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": one.message})
        elif shown or one.message:
            words = "\n".join(part for part in (shown, one.message) if part)
            ElementTree.SubElement(case, "system-out").text = words
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def as_json(found: Findings) -> str:
    """For programs: whether it passed, every finding, and what would be voided."""
    document = {
        "passed": found.passed,
        "findings": [_document(one) for one in found.all],
        "voids": [
            {
                "bot": one.bot,
                "against": one.against,
                "isNew": one.is_new,
                "voids": [void.value for void in one.voids],
                "changes": [
                    {"input": change.input, "differences": list(change.differences), "voids": list(change.voids)}
                    for change in one.changes
                ],
                "unknown": list(one.unknown),
            }
            for one in found.compared
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def as_summary(found: Findings) -> str:
    """Markdown for a comment of a pull request, at most 60,000 characters: what failed first, then what is voided."""
    lines = [f"### {SUITE}: {'passed' if found.passed else 'FAILED'}", "", _sum(found), ""]
    for outcomes, title in (
        ((Outcome.FAILED,), "Failed"),
        ((Outcome.NOTED, Outcome.SKIPPED), "Worth a look"),
    ):
        rows = [one for one in found.all if one.outcome in outcomes]
        if rows:
            lines += [f"#### {title}", "", "| bot | check | observed | asked | why |", "|---|---|---|---|---|"]
            lines += [_row(one.bot, one.check, one.observed, one.threshold, one.message) for one in rows] + [""]
    if found.compared:
        lines += ["#### What the change would void", "", "| bot | input | change | voids |", "|---|---|---|---|"]
        lines += [row for one in found.compared for row in _voided(one)] + [""]
    passed = [one for one in found.all if one.outcome is Outcome.PASSED]
    if passed:
        lines += ["<details><summary>Passed</summary>", "", "| bot | check | observed | asked |", "|---|---|---|---|"]
        lines += [_row(one.bot, one.check, one.observed, one.threshold) for one in passed]
        lines += ["", "</details>", ""]
    return _bounded(lines)


def _bounded(lines: Sequence[str]) -> str:
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > MOST_SUMMARY_CHARACTERS - 100:
            return "\n".join([*kept, "", "There is more: the table in the log and the JUnit file are whole.", ""])
        kept.append(line)
    return "\n".join(kept)


def _document(one: Finding) -> dict[str, Any]:
    return {
        "bot": one.bot,
        "check": one.check,
        "outcome": one.outcome.value.lower(),
        "observed": one.observed,
        "threshold": one.threshold,
        "message": one.message,
    }


def _sum(found: Findings) -> str:
    counts = ", ".join(f"{found.count(one)} {one.value.lower()}" for one in Outcome if found.count(one))
    return f"{counts or 'no check was made'}."


def _told(one: Compared) -> list[str]:
    """What becomes of a bot, as lines."""
    if one.is_new:
        return [plain(f"{one.bot} is not at {one.against}: there is nothing to void")]
    head = f"{one.bot} beside {one.against}: voids {names(one.voids)}"
    changes = [f"  {plain(change.input)}: {plain(words)}" for change in one.changes for words in change.differences]
    return [plain(head), *changes, *(f"  not known from files: {plain(words)}" for words in one.unknown)]


def _voided(one: Compared) -> list[str]:
    if one.is_new:
        return [_row(one.bot, "", f"not at {one.against}", "nothing")]
    rows = [_row(one.bot, change.input, _joined(change), names(change.voids)) for change in one.changes]
    return rows or [_row(one.bot, "", f"nothing that counts differs from {one.against}", "nothing")]


def _joined(change: Change) -> str:
    return "; ".join(change.differences)


def _row(*cells: str) -> str:
    return f"| {' | '.join(_code(cell) for cell in cells)} |"


def _code(text: str) -> str:
    """A code span with a fence longer than any in the text: nothing within it is Markdown, HTML, or somebody's name."""
    text = plain(text)
    if not text:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    padding = " " if text[0] == "`" or text[-1] == "`" else ""
    # A pipe ends a table's cell within a code span, too, and what a backslash does there differs: one that looks alike.
    shown = text.replace("|", "\N{FULLWIDTH VERTICAL LINE}")
    return f"{fence}{padding}{shown}{padding}{fence}"


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"
