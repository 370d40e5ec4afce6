"""The long form's output: a line for each row as it comes, and a page of the documentation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypedDict

from apps.agents.measuring.machine import describe_machine
from lathe.env import PROJECT_ROOT
from tests.faults import postgres
from tests.faults.scenarios import BEFORE, PHASES, SCENARIOS, Case, Phase, Scenario, cases
from tests.faults.settings import PIPELINE_TIMING
from tests.faults.system import running_system
from tests.faults.trial import Bench

PAGE = PROJECT_ROOT / "docs" / "faults.md"
KEPT = PROJECT_ROOT / "build" / "faults.json"
"""The last result of each row, so that rows can be carried out again by themselves."""
MARK = "<!-- Below this line: written by `make faults WRITE=--write`. -->\n"


class Row(TypedDict):
    ended: str
    recovered_s: float
    holds: bool
    day: str


Rows = dict[str, Row]
"""By the name of the case."""


def made(*, only: Sequence[str], write: bool) -> int:
    """Carries out the table, or the rows whose names have one of `only`. Returns the exit status."""
    if postgres.program("postgres") is None:
        raise SystemExit("No PostgreSQL is installed here (docs/testing.md).")
    wanted = [case for case in _in_turn() if not only or any(words in str(case) for words in only)]
    began, broken = time.monotonic(), 0
    kept: Rows = json.loads(KEPT.read_text()) if KEPT.exists() and only else {}
    KEPT.parent.mkdir(exist_ok=True)
    try:
        for with_bucket in (False, True):
            cases_there = [case for case in wanted if case.scenario.on_bucket is with_bucket]
            for case, row in _all_of(cases_there, with_bucket=with_bucket):
                kept[str(case)] = row
                broken += not row["holds"]
                KEPT.write_text(json.dumps(kept, indent=1))
    finally:
        print(f"{len(kept)} rows in {(time.monotonic() - began) / 60:.0f} minutes; {broken} do not hold.")
        if write and kept:
            text = PAGE.read_text().partition(MARK)[0]
            PAGE.write_text(text + MARK + "\n" + "\n".join(_page(kept)) + "\n")
    return bool(broken)


def _in_turn() -> list[Case]:
    """Every fault in one phase, each in another, then in the next one: a run that ends early has seen them all."""
    number = {scenario.name: at for at, scenario in enumerate(SCENARIOS)}

    def turn(case: Case) -> int:
        phases = case.scenario.phases
        return (phases.index(case.phase) - number[case.scenario.name]) % len(phases)

    return sorted(cases(short=False), key=turn)


def _all_of(wanted: Sequence[Case], *, with_bucket: bool) -> Iterator[tuple[Case, Row]]:
    """The rows of an installation that is started for them. Of a row that does not hold, every process has a word."""
    if wanted:
        with running_system(print, with_bucket=with_bucket) as system:
            for case, row in _carried_out(Bench(system), wanted):
                if not row["holds"]:
                    print(system.told())
                yield case, row


def _carried_out(bench: Bench, wanted: Iterable[Case]) -> Iterator[tuple[Case, Row]]:
    for case in wanted:
        if not case.scenario.possible:
            print(f"skipped  {case}: needs root")
            continue
        found = bench.carry_out(case)
        word = "holds" if found.holds else "BROKEN"
        print(f"{word:8} {found.recovered_s:5.1f} s  {case}: {found.ended}", flush=True)
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        yield case, Row(ended=found.ended, recovered_s=found.recovered_s, holds=found.holds, day=day)


def _page(kept: Mapping[str, Row]) -> Iterator[str]:
    machine = describe_machine()
    held, days = sum(row["holds"] for row in kept.values()), sorted({row["day"] for row in kept.values()})
    yield f"{held} of {len(kept)} rows hold. Measured on {' and '.join(days)}: {machine.cpu}, {machine.cores} cores,"
    timing = PIPELINE_TIMING
    yield f"{machine.system}. Leases last {timing['lease_s']:g} s here, and lost messages are sent again after"
    yield f"{timing['message_lost_s']:g} s. Seconds are from mending the fault, or resuming the session, to the"
    yield "verdict, with all steps that follow."
    yield ""
    yield f"| fault | ended as | at most | {' | '.join(_heading(phase) for phase in (BEFORE, *PHASES))} |"
    yield "|---" * (3 + 1 + len(PHASES)) + "|"
    for scenario in SCENARIOS:
        seconds = (_seconds(kept, scenario, phase) for phase in (BEFORE, *PHASES))
        yield f"| {scenario.name} | {scenario.end} | {scenario.within_s:.0f} s | {' | '.join(seconds)} |"


def _heading(phase: Phase) -> str:
    return phase.value if phase else "before"


def _seconds(kept: Mapping[str, Row], scenario: Scenario, phase: Phase) -> str:
    if phase not in scenario.phases:
        return ""
    row = kept.get(str(Case(scenario, phase)))
    if row is None:
        return "not run"
    return f"{row['recovered_s']:.1f}" if row["holds"] else "**broken**"
