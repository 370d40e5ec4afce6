"""Whether claims of speed are true: the original beside itself, fresh processes, and looking while measuring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apps.agents.contracts.criteria import Criteria, Objective, Target
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.evaluation.agent import EvaluationAgent
from apps.agents.evaluation.selection import noise_ratio
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.fresh_processes import PRECISION, confidence_left
from apps.agents.measuring.machine import describe_machine
from apps.agents.measuring.timer import InProcessTimer, Timer, settled
from apps.agents.measuring.timing_intervals import LogInterval, of_processes, of_rounds
from benchmarks.truth.form import Form
from benchmarks.truth.material import Material, Unheard
from benchmarks.truth.rows import Row, at_least, at_most

FASTEST = Criteria(objective=Objective.LATENCY)
EXAMPLES = 120
"""Of a session that is about speed only."""
IN_PROCESS = Effort(budget_s=1.5, warmup_s=0.1)
FRESH = Effort(budget_s=2.0, warmup_s=0.1)
COVERAGE = 0.93
WITHIN = 0.02
"""How far a process's mean is off by its own rounds; between processes it is half as much again."""
BETWEEN = 1.5 * WITHIN
ROUNDS, FEWEST = 8, 3
LOOK_EVERY, FIRST_LOOK, LAST_LOOK = 4, 12, 120


def rows(form: Form, small: Material, seed: int = 0) -> Iterator[Row]:
    yield from equals(form, small, seed)
    yield from simulated(form, seed)
    yield over_processes(form, small, seed)


# --- the original beside itself --------------------------------------------------------------------------------------


def equals(form: Form, material: Material, seed: int) -> Iterator[Row]:
    """Sessions in which the original is its own candidate."""
    kinds = (("in one process", Part.CHOOSING, form.equal), ("in fresh processes", Part.EVALUATION, form.equal_fresh))
    for where, part, sessions in kinds:
        reports = [_equal(material, part, seed + number) for number in range(sessions)]
        told = [report for report in reports if not report.latency.busy]
        what = f"the original as its own candidate, timed {where}, is called faster or slower"
        called = sum(is_called_other(report) for report in told)
        yield _with_busy(at_most(what, called, len(told), 0.05), len(reports) - len(told))


def _equal(material: Material, part: Part, seed: int) -> EvaluationReport:
    return EvaluationAgent(IN_PROCESS).evaluate(
        material.engine(),
        material.engine(),
        material.dataset(seed, EXAMPLES),
        FASTEST,
        Unheard(),
        machine=describe_machine(),
        seed=seed,
        part=part,
        timer=_timer(material, part),
    )


def _timer(material: Material, part: Part) -> Timer:
    if part is Part.CHOOSING:
        return InProcessTimer(material.engine(), material.engine(), IN_PROCESS)
    return material.timer(material.original, FRESH)


def is_called_other(report: EvaluationReport) -> bool:
    """Whether the speed-up counts as a gain or a loss, as the selection counts it: beyond 1 and beyond the control."""
    noise, speedup = noise_ratio(report), report.latency.speedup
    low, high = speedup.low or speedup.value, speedup.high or speedup.value
    return low > noise or high * noise < 1


# --- fresh processes -------------------------------------------------------------------------------------------------


def over_processes(form: Form, material: Material, seed: int) -> Row:
    """Many comparisons of one pair, each held against the value over the processes of all of them."""
    feeds = material.dataset(0, EXAMPLES).first(1)
    found = [
        material.timer(material.int8, FRESH).compare(feeds, Target(), Question(seed=seed + number))
        for number in range(form.comparisons)
    ]
    told = [one for one in found if not one.busy]
    what = f"{material.name} against its int8 form: an interval from 3 to 6 fresh processes contains the value over all"
    hits = sum(one.speedup.includes(value_over_all(told)) for one in told)
    row = at_least(what, hits, len(told), COVERAGE, "75 % (in one process)")
    return _with_busy(row, len(found) - len(told))


def value_over_all(found: Sequence[LatencyComparison]) -> float:
    """The speed-up over the processes of all comparisons, each process counting once."""
    logs = [math.log(one.speedup.value) for one in found]
    return math.exp(np.average(logs, weights=[one.processes for one in found]))


def _with_busy(row: Row, busy: int) -> Row:
    """`row` with how often the machine was too busy to say anything."""
    if not busy:
        return row
    return Row(row.claim, row.bound, f"{row.found}; too busy to tell: {busy}", row.holds, row.before)


# --- simulated -------------------------------------------------------------------------------------------------------


def simulated(form: Form, seed: int) -> Iterator[Row]:
    for planned in (3, 6):
        random = np.random.default_rng(seed)
        found = [_compared(random, planned) for _ in range(form.simulated)]
        hits = sum(abs(one.mean) <= one.reach for one in found)
        what = f"simulated: {planned} processes that differ by 1.5 times the variation within one: the interval covers"
        yield at_least(what, hits, len(found), COVERAGE)
    looked = [looked_at(np.random.default_rng([seed, number])) for number in range(form.simulated)]
    what = "simulated: a speed-up exactly at the limit, examined every 4 rounds, is reported to"
    yield at_most(f"{what} hold it", looked.count("holds"), len(looked), 0.025, "8.3 %")
    yield at_most(f"{what} violate it", looked.count("violated"), len(looked), 0.025, "7.7 %")


def _compared(random: np.random.Generator, planned: int) -> LogInterval:
    """One comparison as `FreshProcessTimer` goes about it; the true mean is 0."""
    confidence: Callable[[int], float] = lambda done: confidence_left(0.95, done, planned, FEWEST) or 0.0  # noqa: E731
    logs = _processes(random, FEWEST)
    if planned > FEWEST:
        first = of_processes(logs, confidence(FEWEST), 1)
        if settled(first, (1.0,), PRECISION, PRECISION):
            return first
        logs += _processes(random, planned - FEWEST)
    return of_processes(logs, confidence(planned), 1)


def _processes(random: np.random.Generator, count: int) -> list[np.ndarray]:
    spread = WITHIN * math.sqrt(ROUNDS)
    return [random.normal(0, BETWEEN) + random.normal(0, spread, ROUNDS) for _ in range(count)]


@dataclass(frozen=True)
class Looks:
    """A speed-up exactly at this limit, and by how much a round is off."""

    limit: float = 1.5
    spread: float = 0.03


def looked_at(random: np.random.Generator, looks: Looks = Looks()) -> str:
    """What is said of it once the timer stops, which looks at every fourth round."""
    logs = math.log(looks.limit) + random.normal(0, looks.spread, LAST_LOOK)
    for count in range(FIRST_LOOK, LAST_LOOK + 1, LOOK_EVERY):
        interval = of_rounds(logs[:count], 0.95, 1)
        if settled(interval, (looks.limit,), 0.02, 0.05):
            break
    if not interval.excludes(looks.limit):
        return "inconclusive"
    return "holds" if interval.mean > math.log(looks.limit) else "violated"
