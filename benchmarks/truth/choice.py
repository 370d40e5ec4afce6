"""What a choice among many candidates does to a verdict: sessions simulated through the functions that decide in Lathe.

Each candidate loses and wins examples at random, independently of the others. The counts become reports as an
evaluation writes them, and ranking, finalists, looks, Holm's step-down and what is tolerated are the product's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from apps.agents.contracts.chain import Application
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.dataset_spec import Metric, part_sizes
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import Fidelity, MetricComparison
from apps.agents.contracts.reports.selection import Level
from apps.agents.contracts.state import CandidateRecord, Prediction
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.metrics.comparing import comparison
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.selection import judge
from apps.agents.evaluation.verdicts import judge_metric
from apps.agents.measuring.statistics.certainty import finalists
from apps.agents.measuring.statistics.intervals import share_difference
from apps.agents.session.candidates import Trial
from apps.agents.session.finalists import Finals, contenders
from apps.agents.session.steps import optimize_key

LIMIT = 1.0
PROVEN_ONLY = Criteria(
    objective=Objective.SIZE, constraints=Constraints(max_metric_drop_points=LIMIT), accept_inconclusive=False
)
TOLERANT = PROVEN_ONLY.model_copy(update={"accept_inconclusive": True})


class Row(NamedTuple):
    """One line of the table: what was tried, how often it came out, and how often it may."""

    what: str
    sessions: int
    share: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def noise(self) -> float:
        """Three standard errors of `share`."""
        base = self.at_most if self.at_most is not None else self.share
        return 3 * float(np.sqrt(max(base * (1 - base), 1e-9) / self.sessions))

    @property
    def holds(self) -> bool:
        above = self.at_most is not None and self.share > self.at_most + self.noise
        below = self.at_least is not None and self.share < self.at_least - self.noise
        return not (above or below)


@dataclass(frozen=True)
class World:
    """Candidates with their true losses in points and the share of examples on which they differ, in per cent."""

    drops: tuple[float, ...]
    discordant: float
    examples: int
    """Of the whole data set."""
    criteria: Criteria = PROVEN_ONLY

    @property
    def gains(self) -> tuple[float, ...]:
        """How much smaller each candidate is: the later the smaller, whatever it loses."""
        return tuple(2.0 + 0.1 * at for at in range(len(self.drops)))


def table(sessions: int = 2000, seed: int = 0) -> tuple[Row, ...]:
    """The whole simulation: candidates at the limit, a good one among bad ones, and what is open and tolerated."""
    return (*at_the_limit(sessions, seed), *good_among_bad(sessions, seed), *tolerated(sessions, seed))


def at_the_limit(sessions: int, seed: int, examples: int = 1250, counts: Sequence[int] = (6, 12, 24)) -> Iterator[Row]:
    """Every candidate loses exactly the limit, so that whichever is handed over should not have been."""
    for count in counts:
        world = World((LIMIT,) * count, 3.0, examples)
        shipped = [one is not None for one in outcomes(world, sessions, seed)]
        what = f"{count} candidates exactly at the limit, {examples:,} examples: one wins"
        yield Row(what, sessions, float(np.mean(shipped)), at_most=0.025)
        best_of_all = [one is not None for one in without_choosing(world, sessions, seed, sharing=1)]
        yield Row("the same, best of uncorrected intervals", sessions, float(np.mean(best_of_all)))


def good_among_bad(sessions: int, seed: int, examples: int = 3000, count: int = 12) -> Iterator[Row]:
    """One candidate loses nothing and all others 1.5 points; the examples are shared out in one way or another."""
    good = count // 2
    world = World(tuple(0.0 if at == good else 1.5 for at in range(count)), 2.5, examples)
    found = float(np.mean([one == good for one in outcomes(world, sessions, seed)]))
    everyone = float(np.mean([one == good for one in without_choosing(world, sessions, seed, sharing=count)]))
    halves = float(np.mean([one == good for one in outcomes(world, sessions, seed, choosing_share=0.5)]))
    what = f"a candidate without loss among {count}, {examples:,} examples: it wins"
    yield Row(what, sessions, found, at_least=max(everyone, halves))
    yield Row("the same, every candidate judged on all examples and sharing the error", sessions, everyone)
    yield Row("the same, half of the examples used for validation", sessions, halves)


def tolerated(sessions: int, seed: int, examples: int = 756) -> Iterator[Row]:
    """A single candidate on few examples, where the criteria accept what is open: bad ones and good ones that pass."""
    for drop, at_most in ((1.54, 0.14), (0.0, None)):
        world = World((drop,), 5.2, examples, TOLERANT)
        passed = float(np.mean([one is not None for one in outcomes(world, sessions, seed)]))
        before = float(np.mean([one is not None for one in without_choosing(world, sessions, seed, sharing=1)]))
        what = f"inconclusive evidence accepted, a loss of {drop:g} at {examples:,} examples: it wins"
        yield Row(what, sessions, passed, at_most=at_most)
        yield Row(f"{what}, if measured once", sessions, before)


# --- sessions --------------------------------------------------------------------------------------------------------


def outcomes(world: World, sessions: int, seed: int, choosing_share: float | None = None) -> Iterator[int | None]:
    """Which candidate each session hands over, by its place in `world`."""
    random = np.random.default_rng(seed)
    sizes = part_sizes(world.examples)
    choosing, judging = sizes.choosing, sizes.evaluation
    if choosing_share is not None:
        choosing = round((choosing + judging) * choosing_share)
        judging = sizes.choosing + sizes.evaluation - choosing
    shares = Question(world.criteria).shares(judging)
    portions = np.diff([0, *(round(judging * share) for share in shares)])
    for _ in range(sessions):
        ranked = {
            str(at): _ranked(world, at, *_drawn(random, world, at, choosing), choosing, judging)
            for at in range(len(world.drops))
        }
        keys = finalists(contenders(ranked, world.criteria), world.criteria.confidence)
        judged = dict(ranked)
        for key in keys:
            counts = [_drawn(random, world, int(key), int(size)) for size in portions]
            judged[key] = _judged(world, ranked[key], int(key), counts, portions, shares, len(keys))
        chosen = Finals(keys, judged, world.criteria).chosen(closed=True)
        yield None if chosen is None else int(chosen)


def without_choosing(world: World, sessions: int, seed: int, sharing: int) -> Iterator[int | None]:
    """The best that holds on all examples at once, of which `sharing` candidates share the chance of error."""
    random = np.random.default_rng(seed)
    sizes = part_sizes(world.examples)
    examples = sizes.choosing + sizes.evaluation
    for _ in range(sessions):
        held = [
            at
            for at in range(len(world.drops))
            if judge(_once(world, at, *_drawn(random, world, at, examples), examples, sharing), world.criteria).accepted
        ]
        yield max(held, default=None)


def _drawn(random: np.random.Generator, world: World, at: int, examples: int) -> tuple[int, int]:
    """How many of `examples` are lost and won."""
    lost, won = ((world.discordant + sign * world.drops[at]) / 200 for sign in (1, -1))
    drawn = random.multinomial(examples, (lost, won, 1 - lost - won))
    return int(drawn[0]), int(drawn[1])


@lru_cache(maxsize=200_000)
def _ranked(world: World, at: int, lost: int, won: int, choosing: int, judging: int) -> Trial:
    report = _report(
        world, at, Part.CHOOSING, choosing, judging, _metric(lost, won, choosing, world.criteria.confidence)
    )
    return Trial(_candidate(at), str(at), optimize_key(str(at)), report=report, judgement=judge(report, world.criteria))


def _judged(
    world: World,
    trial: Trial,
    at: int,
    counts: Sequence[tuple[int, int]],
    portions: Sequence[int],
    shares: Sequence[float],
    planned: int,
) -> Trial:
    """`trial` with its report of the test part, which ends at the look that decides."""
    question = Question(world.criteria, Part.EVALUATION, planned)
    for look in range(len(shares)):
        lost, won = (sum(pair[side] for pair in counts[: look + 1]) for side in (0, 1))
        used = int(sum(portions[: look + 1]))
        levels = tuple(
            _level(world, question, look, tuple(shares), sharing, lost, won, used) for sharing in question.sharing
        )
        status = levels[0].constraints[0].status
        if status is not Holds.INCONCLUSIVE:
            break
    metric = _metric(lost, won, used, question.confidence(look, tuple(shares), planned))
    report = _report(world, at, Part.EVALUATION, used, int(sum(portions)), metric)
    report = report.model_copy(update={"levels": levels, "constraints": levels[0].constraints})
    return Trial(
        _candidate(at), str(at), optimize_key(str(at)), report=trial.report, judgement=trial.judgement, judged=report
    )


@lru_cache(maxsize=200_000)
def _level(
    world: World, question: Question, look: int, shares: tuple[float, ...], sharing: int, lost: int, won: int, used: int
) -> Level:
    metric = _metric(lost, won, used, question.confidence(look, shares, sharing))
    constraints = judge_metric(world.criteria.constraints, MetricMeasured(metric, used, world.criteria.confidence))
    return Level(sharing=sharing, confidence=world.criteria.confidence, drop=metric.drop, constraints=constraints)


@lru_cache(maxsize=200_000)
def _once(world: World, at: int, lost: int, won: int, examples: int, sharing: int) -> EvaluationReport:
    confidence = 1 - (1 - world.criteria.confidence) / sharing
    return _report(world, at, Part.EVALUATION, examples, examples, _metric(lost, won, examples, confidence))


# --- reports ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=200_000)
def _metric(lost: int, won: int, examples: int, confidence: float) -> MetricComparison:
    share = Estimate(value=0.9)
    drop = share_difference(lost, won, examples, confidence)
    return comparison(Metric.TOP1, share, Estimate(value=0.9 - drop.value), drop, "mcnemar", 1.0)


def _report(
    world: World, at: int, part: Part, examples: int, judging: int, metric: MetricComparison
) -> EvaluationReport:
    measured = MetricMeasured(metric, examples, world.criteria.confidence)
    gain = world.gains[at]
    return TEMPLATE.model_copy(
        update={
            "part": part,
            "examples": examples,
            "judging_examples": judging,
            "metrics": (metric,),
            "size_bytes": Pair(original=gain, candidate=1.0, ratio=gain),
            "constraints": judge_metric(world.criteria.constraints, measured),
            "confidence": world.criteria.confidence,
        }
    )


@lru_cache
def _candidate(at: int) -> CandidateRecord:
    nothing = Prediction(speedup=1, size_ratio=1, metric_drop_points=0, risk="low", basis="")
    link = Application(technique="", parameters={}, title="")
    return CandidateRecord(key=str(at), steps=(link,), predicted=nothing, reason="")


_ALONE = Latency(p50_ms=1, p95_ms=1, throughput_per_s=1000, runs=1, batch_size=1, threads=1)
TEMPLATE = EvaluationReport(
    task=Task.CLASSIFICATION,
    examples=1,
    metrics=(_metric(0, 0, 1, 0.95),),
    fidelity=Fidelity(sqnr_db=30, cosine=1, max_abs_error=0, mean_abs_error=0),
    latency=LatencyComparison(
        original=_ALONE,
        candidate=_ALONE,
        speedup=Estimate(value=1, low=1, high=1),
        control=Estimate(value=1, low=1, high=1),
        blocks=20,
        runs_per_block=1,
        warmup_runs=1,
    ),
    size_bytes=Pair(original=1, candidate=1, ratio=1),
    peak_memory_bytes=Pair(original=1, candidate=1, ratio=1),
    constraints=(),
    verdict=Holds.HOLDS,
    confidence=0.95,
    machine=Machine(hostname="", cpu="", cores=1, memory_bytes=1, flags=(), system="", python="", libraries={}),
)
