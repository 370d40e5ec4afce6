"""Measures everything that was made of one model, in one process: `python -m benchmarks.peers.measuring REQUEST.json`.

First each artifact answers the examples that are held back, beside the original. Then all of them are timed together,
with the original twice, in interleaved rounds on one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Constraints, Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.values import Value
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.quality import OutputsComparison, Question
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Engine, fixed_batch, open_engine
from apps.agents.measuring.interleaving import take_turns
from apps.agents.measuring.record import CONTROL, ORIGINAL, Record
from apps.agents.measuring.scheduling.priority import priority
from apps.agents.measuring.stopwatch import Run, stopwatch_for
from apps.agents.measuring.timing_intervals import of_rounds
from benchmarks.links import Teller
from benchmarks.own_portal import SEED
from benchmarks.peers.parts import whole
from benchmarks.peers.results import Measured

BATCH = 64
CONFIDENCE = 0.95
ENOUGH_ROUNDS = 30
UNLIMITED = Criteria(constraints=Constraints(max_metric_drop_points=None, default_rise=None, max_output_deviation=None))
"""No limit ends the comparison of outputs early: all held-back examples are used."""


class Artifact(Value):
    key: str
    path: Path
    format: str


class Request(Value):
    model: Path
    format: str
    data: Path
    spec: DatasetSpec
    artifacts: tuple[Artifact, ...]
    timing_s: float
    folder: Path
    answer: Path


class Answer(Value):
    """`failures` are artifacts that do not load or do not answer, by entry."""

    size_bytes: int
    examples: int
    given: int
    measured: dict[str, Measured]
    failures: dict[str, str]
    control: Estimate


def answer(request: Request) -> Answer:
    original = open_engine(request.format, request.model, request.folder)
    dataset = whole(request.model, request.format, request.data, request.spec, request.folder)
    engines: dict[str, Engine] = {}
    metrics: dict[str, MetricComparison] = {}
    failures: dict[str, str] = {}
    for one in request.artifacts:
        try:
            engines[one.key] = open_engine(one.format, one.path, request.folder)
            metrics[one.key] = metric_of(original, engines[one.key], dataset)
        except Exception as error:  # Another's file may fail in any way that its runtime knows: that is its result.
            failures[one.key] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    told = {key: engines[key] for key in metrics}
    record = timed(original, told, dataset, request.timing_s)
    measured = {key: measurement(key, engine, metrics[key], record) for key, engine in told.items()}
    held_back = len(dataset.evaluation_indices)
    return Answer(
        size_bytes=original.summary.size_bytes,
        examples=held_back,
        given=dataset.summary.examples - held_back,
        measured=measured,
        failures=failures,
        control=by_cpu(record, CONTROL),
    )


def metric_of(original: Engine, candidate: Engine, dataset: Dataset) -> MetricComparison:
    """The primary metric of both on the held-back examples."""
    compared = OutputsComparison(
        original,
        candidate,
        dataset,
        Question(UNLIMITED),
        Teller(),
        batch=BATCH,
        seed=SEED,
    )
    return compared.run().metrics[0]


def timed(original: Engine, others: Mapping[str, Engine], dataset: Dataset, timing_s: float) -> Record:
    """All models in turn on one thread, at the batch size of one or that which a model was exported with."""
    engines = {ORIGINAL: original, CONTROL: original, **others}
    fixed = [fixed_batch(engine.summary.inputs, dataset.layout) for engine in engines.values()]
    target = Target(batch_size=next((size for size in fixed if size is not None), 1))
    feeds = dataset.first(target.batch_size)
    contenders: dict[str, Run] = {name: partial(engine.session(target), feeds) for name, engine in engines.items()}
    return take_turns(
        contenders,
        target,
        seed=SEED,
        effort=Effort(budget_s=timing_s),
        enough=lambda record: len(record.counted) >= ENOUGH_ROUNDS,
        stopwatch=stopwatch_for(tuple(engines.values()), target),
        favour=partial(priority, target.threads),
    )


def measurement(key: str, engine: Engine, metric: MetricComparison, record: Record) -> Measured:
    logs = np.log(record.medians_ms(ORIGINAL)) - np.log(record.medians_ms(key))
    return Measured(
        size_bytes=engine.summary.size_bytes,
        metric=metric,
        cpu_speedup=by_cpu(record, key),
        wall_speedup=of_rounds(logs, CONFIDENCE, SEED).estimate(),
    )


def by_cpu(record: Record, key: str) -> Estimate:
    """The original's CPU time over that of `key`, over all rounds."""
    logs = np.log(record.series[ORIGINAL].cpu_ms) - np.log(record.series[key].cpu_ms)
    return of_rounds(logs, CONFIDENCE, SEED).estimate()


def main(path: Path) -> None:
    request = Request.model_validate_json(path.read_text(encoding="utf-8"))
    request.answer.write_text(answer(request).model_dump_json(), encoding="utf-8")
    sys.stdout.flush()
    # Libraries that shut down together may hang or crash; the answer is written by now.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
