"""Which metrics can be measured on a model's output, as far as the summaries of model and data set tell."""

from __future__ import annotations

from apps.agents.contracts.dataset_spec import TASK_METRICS, DatasetSpec, Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.files.class_numbers import class_count

MOST_FOR_TOP5 = 5
"""With so many classes or fewer, every answer is among the five best."""


def measurable(spec: DatasetSpec, output: TensorSpec | None = None) -> tuple[Metric, ...]:
    """The metrics that the task can measure on the judged `output`, in the task's order.

    A metric that only the values can exclude is among them. Without an `output`, only the task is known.
    """
    if spec.task is Task.FIDELITY:
        return tuple(metric for metric in TASK_METRICS[Task.FIDELITY] if metric in _of_fidelity(spec, output))
    if spec.task is Task.CLASSIFICATION and output is not None:
        count = class_count(output)
        few = count is not None and count <= MOST_FOR_TOP5
        return tuple(metric for metric in TASK_METRICS[spec.task] if metric is not Metric.TOP5 or not few)
    return spec.metric_choices


def check_sequences(spec: DatasetSpec, output: TensorSpec) -> None:
    """Raise `OutputUnfit` if sequence agreement is the primary metric and `output` is not `[N, T, C]`, or lacks the
    class of the blank."""
    if spec.primary_metric is not Metric.SEQUENCE_AGREEMENT:
        return
    reason = ""
    if not _may_be_sequences(spec, output):
        reason = "sequence agreement needs one score for each class at each step, [N, T, C]: choose another metric"
    elif spec.ctc_blank is not None and output.shape:
        classes = output.shape[-1]
        if isinstance(classes, int) and spec.ctc_blank >= classes:
            reason = f"the blank is class {spec.ctc_blank}, but there are {classes} classes, counted from 0"
    if reason:
        shape = ["?" if axis is None else axis for axis in output.shape]
        raise OutputUnfit(output=output.name, shape=shape, task=spec.task, reason=reason, field="metric")


def _of_fidelity(spec: DatasetSpec, output: TensorSpec | None) -> set[Metric]:
    if output is None or not output.shape:
        return set(TASK_METRICS[Task.FIDELITY])
    if not output.dtype.startswith(("float", "bfloat")):
        return {Metric.AGREEMENT}
    found = {Metric.R2}
    axes = [axis for axis in output.shape[1:] if axis != 1]
    if axes:
        found.add(Metric.COSINE)
    chosen = spec.metric in (None, Metric.AGREEMENT)
    if len(axes) == 1 and chosen and (spec.metric or (len(output.shape) == 2 and spec.pooling == "none")):
        found.add(Metric.AGREEMENT)
    if _may_be_sequences(spec, output):
        found.add(Metric.SEQUENCE_AGREEMENT)
    return found


def _may_be_sequences(spec: DatasetSpec, output: TensorSpec) -> bool:
    """Whether `output` is one score for each of several classes at each step, or its shape is not known."""
    if not output.shape:
        return True
    floats = output.dtype.startswith(("float", "bfloat"))
    return floats and spec.pooling == "none" and len(output.shape) == 3 and output.shape[2] != 1
