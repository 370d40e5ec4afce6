"""The metrics of each task, as paired comparisons of both models' outputs on the same examples.

Needs numpy and scipy, so only the child imports it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.metrics.classification import ClassificationScorer, looks_like_classes
from apps.agents.evaluation.metrics.comparing import Scorer
from apps.agents.evaluation.metrics.embedding import PairScorer, VectorScorer
from apps.agents.evaluation.metrics.fidelity import FidelityScorer
from apps.agents.evaluation.metrics.likelihood import ContinuationScorer, PerplexityScorer
from apps.agents.evaluation.metrics.regression import RegressionScorer
from apps.agents.evaluation.metrics.sequences import SequenceMeter, looks_like_sequences

__all__ = ["Scorer", "compared", "compares_classes", "order_metrics", "scorer_for"]


def scorer_for(
    spec: DatasetSpec,
    output_shape: Sequence[int],
    classes: Sequence[str],
    *,
    tokens: bool = False,
    limited: Container[Metric] = (),
) -> Scorer:
    """The scorer of a task, for outputs of `output_shape` (batch axis first). `tokens`: they are padded tokens.
    `limited`: the further metrics that the criteria limit."""
    if spec.task is Task.CLASSIFICATION:
        return ClassificationScorer(spec, classes)
    if spec.task is Task.REGRESSION:
        return RegressionScorer()
    if spec.task is Task.EMBEDDING:
        return PairScorer() if spec.paired else VectorScorer()
    if spec.task is Task.LANGUAGE_MODELING:
        return PerplexityScorer()
    if spec.task is Task.MULTIPLE_CHOICE:
        return ContinuationScorer()
    asked = spec.primary_metric is Metric.SEQUENCE_AGREEMENT or Metric.SEQUENCE_AGREEMENT in limited
    decoded = asked and spec.pooling == "none" and looks_like_sequences(output_shape)
    sequences = SequenceMeter(spec.ctc_blank, padded=tokens) if decoded else None
    return FidelityScorer(by_class=compares_classes(spec, output_shape), tokens=tokens, sequences=sequences)


def compares_classes(spec: DatasetSpec, output_shape: Sequence[int]) -> bool:
    """Whether fidelity compares classes: as the member chose, else if the shape is `[batch, n]` (class scores).

    The shape alone cannot distinguish scores from an embedding or from several numbers to predict. Pooling marks an
    embedding, and so does choosing another metric.
    """
    if spec.metric is None:
        return len(output_shape) == 2 and looks_like_classes(output_shape) and spec.pooling == "none"
    return spec.metric is Metric.AGREEMENT and looks_like_classes(output_shape)


def compared(
    scorer: Scorer, spec: DatasetSpec, confidence: float, seed: int, *, identical: bool
) -> tuple[MetricComparison, ...]:
    """All metrics, the primary one first, errors in the labels' unit. `identical`: the models' outputs are the same to
    the last bit on every example, so that the drop is exactly 0."""
    metrics = order_metrics(scorer.comparisons(confidence, seed), spec.primary_metric)
    metrics = tuple(one.model_copy(update={"unit": spec.unit_of(Metric(one.metric))}) for one in metrics)
    return tuple(map(_unchanged, metrics)) if identical else metrics


def _unchanged(metric: MetricComparison) -> MetricComparison:
    return metric.model_copy(update={"drop": Estimate(value=0.0, low=0.0, high=0.0), "p_value": 1.0})


def order_metrics(comparisons: Sequence[MetricComparison], primary: Metric) -> tuple[MetricComparison, ...]:
    """The primary metric first. If it is missing (top-5 with three classes), the task's usual metric comes first."""
    return tuple(sorted(comparisons, key=lambda comparison: comparison.metric != primary))
