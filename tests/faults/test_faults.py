"""The table of faults, row by row: a few in `make test`, all of them at night and by `make faults`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import postgres
from tests.faults.scenarios import SCENARIOS, Case, End, cases
from tests.faults.system import running_system
from tests.faults.trial import Bench

SHORT = frozenset(map(str, cases(short=True)))


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Of an installation whose store is a folder or a bucket, as the row asks; one is at work at a time."""
    if postgres.program("postgres") is None:
        pytest.skip("no PostgreSQL is installed here")
    with running_system(with_bucket=request.param) as system:
        yield Bench(system)


def marked(case: Case) -> object:
    marks = [] if str(case) in SHORT else [pytest.mark.nightly]
    return pytest.param(case.scenario.on_bucket, case, id=str(case), marks=[*marks, pytest.mark.recovery])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bench", "case"), [marked(case) for case in cases(short=False)], indirect=["bench"], scope="module"
)
def test_a_fault_ends_as_the_table_says(bench: Bench, case: Case) -> None:
    if not case.scenario.possible:
        pytest.skip("only root can mount a disk to fill or to take away")
    result = bench.carry_out(case)
    assert result.holds, f"{result.ended}\n{bench.system.told()}"


def test_the_table_is_whole() -> None:
    """Each name once; the short form is part of the long one; what is resumed says with which code it failed."""
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert set(SHORT) <= set(map(str, cases(short=False)))
    assert all(bool(one.codes) == (one.end is not End.SAME) for one in SCENARIOS)
