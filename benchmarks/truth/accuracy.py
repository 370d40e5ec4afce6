"""Whether intervals of accuracy cover: samples of examples are drawn from all of them, where the true loss is known.

Both models answer every example once. A sample of those answers, drawn with replacement, is what a team's own data set
is to all that the model will ever see; the loss over all of them is the truth that its interval should hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.evaluation.metrics.classification import ClassificationScorer
from apps.agents.evaluation.metrics.comparing import Array
from benchmarks.truth.form import Form
from benchmarks.truth.material import Answers
from benchmarks.truth.rows import Row, at_least

COVERAGE = 0.93
"""Of intervals of 95 %: those of a score or a bootstrap are a little too narrow in small samples."""
SPEC = DatasetSpec(kind="npz", task=Task.CLASSIFICATION)
CONFIDENCE = 0.95


def rows(form: Form, answers: tuple[Answers, ...], seed: int = 0) -> Iterator[Row]:
    for one in answers:
        for examples in (250, 1000):
            hits = covered(one, Metric.TOP1, examples, form.resamples, seed)
            yield at_least(
                f"{one.name}: the 95 % interval of the loss of top-1 on {examples:,} examples contains the true loss",
                hits,
                form.resamples,
                COVERAGE,
            )
        hits = covered(one, Metric.MACRO_F1, 500, form.bootstraps, seed)
        what = f"{one.name}: the same for macro F1, by bootstrap, on 500 examples"
        yield at_least(what, hits, form.bootstraps, COVERAGE)


def covered(answers: Answers, metric: Metric, examples: int, samples: int, seed: int) -> int:
    """In how many of so many samples the interval holds the loss over all examples."""
    random = np.random.default_rng(seed)
    truth = _loss_over_all(answers, metric)
    hits = 0
    for number in range(samples):
        drawn = random.integers(0, len(answers.labels), examples)
        hits += _drop(answers, metric, drawn, number).includes(truth)
    return hits


def _drop(answers: Answers, metric: Metric, chosen: Array, seed: int) -> Estimate:
    scorer = ClassificationScorer(SPEC, answers.classes)
    scorer.add(answers.original[chosen], answers.candidate[chosen], answers.labels[chosen])
    found = scorer.share(metric, CONFIDENCE)
    if found is None:
        found = next(one for one in scorer.comparisons(CONFIDENCE, seed) if one.metric == metric)
    return found.drop


def _loss_over_all(answers: Answers, metric: Metric) -> float:
    return float(_drop(answers, metric, np.arange(len(answers.labels)), 0).value)
