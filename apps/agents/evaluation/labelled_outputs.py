"""The further outputs of a model that have labels of their own: each is scored like the judged one.

A head that drifts from the original's may be as good as it, and one that stays near may be worse. Labels tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputUnfit
from apps.agents.contracts.reports.metrics import LabelledOutput
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.metrics import Scorer, compared, scorer_for
from apps.agents.evaluation.metrics.comparing import Array


@dataclass
class _Scored:
    """One output, its labels, and what scores it."""

    place: int
    spec: DatasetSpec
    scorer: Scorer
    examples: int = 0


class LabelledOutputs:
    """Scores both models on every output that has labels of its own."""

    def __init__(self, dataset: Dataset, outputs: Sequence[TensorSpec], axes: Sequence[int | None]) -> None:
        """`axes` has the batch axis of each output. Raises `OutputUnfit` if one with labels has none."""
        places = {output.name: place for place, output in enumerate(outputs)}
        self._scored: dict[str, _Scored] = {}
        for name in dataset.spec.output_labels:
            place, spec = places[name], dataset.spec.of_output(name)
            shape = outputs[place].shape
            if axes[place] is None:
                reason = "it does not have one entry per example, so it cannot have labels"
                shown = ["?" if axis is None else axis for axis in shape]
                raise OutputUnfit(output=name, shape=shown, task=spec.task, reason=reason, field="output_labels")
            scorer = scorer_for(spec, [0, *(1 for _ in shape[1:])], dataset.summary.output_labels[name].classes)
            self._scored[name] = _Scored(place, spec, scorer)

    def add(
        self, original: Sequence[Array | None], candidate: Sequence[Array | None], labels: Mapping[str, Array]
    ) -> None:
        """Add one batch of both models' outputs, examples first, with the labels by output.

        Raises `OutputsDiffer`, `OutputUnfit` and `LabelsInvalid`.
        """
        for name, one in self._scored.items():
            first, second = original[one.place], candidate[one.place]
            if first is None or second is None:
                raise OutputsDiffer(reason=f"output {name!r} does not have one entry for each example")
            one.scorer.add(first, second, labels[name])
            one.examples += len(labels[name])

    def compared(self, confidence: float, seed: int, *, identical: bool) -> tuple[LabelledOutput, ...]:
        """Every output with labels, in the order of the data set."""
        return tuple(
            LabelledOutput(
                output=name,
                task=one.spec.task,
                examples=one.examples,
                metrics=compared(one.scorer, one.spec, confidence, seed, identical=identical),
            )
            for name, one in self._scored.items()
        )
