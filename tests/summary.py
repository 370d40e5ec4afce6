"""A page about a run of the tests, from the reports that it left: `python -m tests.summary build/tests`.

Prints what failed, the slowest tests and files, why tests were skipped, and which files have the fewest lines that were
run, and writes the same as `summary.md` beside the reports.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

SHOWN = 30
COVERAGE = "coverage.json"
"""As `pytest --cov-report=json` writes it."""
FEWEST_LINES = 20
"""Of shorter files, a line or two make the share."""


@dataclass(frozen=True)
class Case:
    file: str
    name: str
    seconds: float
    outcome: str
    """`passed`, `failed`, `error` or `skipped`."""
    message: str


def cases(report: Path) -> Iterator[Case]:
    """The tests of one report. Its `classname` is the dotted path of the file, and of the class where there is one."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
        outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        module = [part for part in case.get("classname", "").split(".") if not part[:1].isupper()]
        yield Case(
            file="/".join(module) + ".py",
            name=case.get("name", ""),
            seconds=float(case.get("time", 0)),
            outcome="passed" if outcome is None else {"failure": "failed"}.get(outcome.tag, outcome.tag),
            message="" if outcome is None else outcome.get("message", "").split("\n")[0],
        )


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        cells = (str(cell).replace("|", r"\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def summary(reports: list[Path]) -> Iterator[str]:
    """The page, line by line."""
    found = {report.stem: list(cases(report)) for report in reports}
    every = [case for one in found.values() for case in one]
    yield "# Tests"
    yield ""
    kinds = ("passed", "failed", "error", "skipped")
    counted = {name: Counter(case.outcome for case in one) for name, one in found.items()}
    seconds = {name: f"{sum(case.seconds for case in one):.0f} s" for name, one in found.items()}
    rows = ((name, *(counted[name][kind] for kind in kinds), seconds[name]) for name in found)
    yield from table(("pass", *kinds, "time of all tests"), rows)
    broken = [case for case in every if case.outcome in ("failed", "error")]
    if broken:
        yield from ("", "## Broken", "")
        yield from (f"- `{case.file}::{case.name}`: {case.message}" for case in broken)
    yield from ("", "## Slowest tests", "")
    slowest = sorted(every, key=lambda case: -case.seconds)[:SHOWN]
    yield from table(("seconds", "test"), ((f"{case.seconds:.1f}", f"`{case.file}::{case.name}`") for case in slowest))
    yield from ("", "## Slowest files", "")
    files: Counter[str] = Counter()
    for case in every:
        files[case.file] += case.seconds  # type: ignore[assignment]
    yield from table(("seconds", "file"), ((f"{time:.0f}", f"`{file}`") for file, time in files.most_common(SHOWN)))
    skipped = Counter(case.message for case in every if case.outcome == "skipped")
    if skipped:
        yield from ("", "## Skipped", "")
        yield from table(("tests", "why"), ((number, why) for why, number in skipped.most_common()))


def covered(report: Path) -> Iterator[str]:
    """Which files have the smallest share of lines that were run."""
    found = json.loads(report.read_text())
    total = found["totals"]
    yield from ("", "## Lines that ran", "")
    yield f"{total['covered_lines']} of {total['num_statements']}: {total['percent_covered']:.1f} %. The least covered:"
    yield ""
    files = [(name, one["summary"]) for name, one in found["files"].items()]
    least = sorted((one for one in files if one[1]["num_statements"] >= FEWEST_LINES), key=_share_of)[:SHOWN]
    rows = ((f"{one['percent_covered']:.0f} %", one["missing_lines"], f"`{name}`") for name, one in least)
    yield from table(("ran", "lines that did not", "file"), rows)


def _share_of(file: tuple[str, Mapping[str, float]]) -> tuple[float, str]:
    return file[1]["percent_covered"], file[0]


def main(folder: str) -> None:
    reports = sorted(Path(folder).glob("*.xml"))
    if not reports:
        sys.exit(f"There is no JUnit report in {folder}. Run `make test` first.")
    lines = list(summary(reports))
    coverage = Path(folder) / COVERAGE
    if coverage.exists():
        lines += covered(coverage)
    page = "\n".join(lines) + "\n"
    (Path(folder) / "summary.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main(sys.argv[1])
