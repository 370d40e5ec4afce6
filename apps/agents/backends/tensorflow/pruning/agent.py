"""Structured pruning of a Keras model as a technique: chooses the cut, makes it, and fits the layers again."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from apps.agents.backends.tensorflow.engine import use_threads
from apps.agents.backends.tensorflow.keras_technique import keras_of
from apps.agents.backends.tensorflow.loading import keras_model
from apps.agents.backends.tensorflow.pruning.anatomy import KerasAnatomy, examine, workload_of
from apps.agents.backends.tensorflow.pruning.compensation import Compensation, FittedLayer, fitted_layers
from apps.agents.backends.tensorflow.pruning.flow import Flow
from apps.agents.backends.tensorflow.pruning.measuring import KerasMeasurer
from apps.agents.backends.tensorflow.pruning.surgery import cut
from apps.agents.backends.tensorflow.saving import save_keras
from apps.agents.backends.tensorflow.technique import library_words
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueNothingToPrune
from apps.agents.contracts.formats import Format
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.channel_pruning.groups import why_nothing
from apps.agents.techniques.channel_pruning.plan import CutPlan, choose
from apps.agents.techniques.pruning import PruningAgent
from apps.agents.techniques.reduction import Reduction, Workload

BATCH = 32
"""Examples per batch. A layer's patches of one batch are in memory at once."""
_CHOSEN, _FITTED = 0.3, 0.95
"""The progress when channels are chosen, and when layers are fitted."""
_LACK = 0.01
"""The removed share may fall short by this much, because widths change in steps."""


class StructuredPruning(PruningAgent):
    """Cuts filters and units, and fits the layers after them again by least squares on calibration examples."""

    _anatomy: KerasAnatomy
    _left: Workload

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also follows the channels. Raises `TechniqueNothingToPrune` with the reasons if none can be cut."""
        super().check(assignment, context)
        use_threads(assignment.threads)
        self._anatomy = examine(keras_of(assignment))
        if not self._anatomy.cuttable:
            raise TechniqueNothingToPrune(technique=assignment.spec.label, reason=why_nothing(self._anatomy.uncut))

    def forecast(self, assignment: Assignment) -> Reduction:
        """Assumes equal shares for all groups. Raises `TechniqueNotApplicable` if too little can be removed."""
        anatomy, multiple = self._anatomy, int(assignment.parameters["multiple_of"])
        targets = anatomy.targets(assignment.parameters)
        widths = anatomy.uniform_widths(targets, multiple)
        for (work, asked), what in zip(targets, ("multiply-accumulates", "weights"), strict=True):
            if (most := work.removed(widths)) < asked - _LACK:
                reason = (
                    f"with widths in multiples of {multiple} at most {most:.0%} of its {what} can be removed, not "
                    f"{asked:.0%}"
                )
                raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        return Reduction(anatomy.whole, anatomy.left_of(widths))

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        chosen, anatomy, flow = assignment.parameters, self._anatomy, _flow(assignment, self._anatomy.trace.model)
        with library_words(assignment.spec.label):
            measurer = KerasMeasurer(anatomy.trace, flow, assignment.seed)
            choice = choose(anatomy, measurer, chosen, lambda share, what: context.progress(_CHOSEN * share, what))
            plan = choice.cut(chosen)
            model, fitted = self._pruned(assignment, context, plan, flow)
            self._left = replace(workload_of(model), channels=sum(plan.widths.values()))
            made = save_keras(model, assignment.out)
        found = {**self.reduction(assignment).evidence(), **plan.evidence(anatomy)}
        return Applied(made, {**found, "fitted": [asdict(one) for one in fitted]})

    def _pruned(
        self, assignment: Assignment, context: Context, plan: CutPlan, flow: Flow
    ) -> tuple[Any, list[FittedLayer]]:
        """The smaller model, and its fitted layers, if fitting is asked for."""
        trace, chosen = self._anatomy.trace, assignment.parameters
        layers = fitted_layers(trace, plan.kept) if chosen["compensate"] else []
        model = cut(trace, plan.kept, {layer.node.name for layer in layers})
        compensation = Compensation(trace, plan.kept, model, flow, float(chosen["ridge"]), layers, assignment.seed)
        return model, compensation.run(
            lambda share, what: context.progress(_CHOSEN + (_FITTED - _CHOSEN) * share, what)
        )

    def reduction(self, assignment: Assignment) -> Reduction:
        """Counted on the smaller model itself."""
        return Reduction(self._anatomy.whole, self._left)


def _flow(assignment: Assignment, model: Any) -> Flow:
    examples = min(int(assignment.parameters["calibration_examples"]), len(assignment.dataset.calibration_indices))
    inputs = keras_model(model, Format.KERAS, "").summary.inputs
    return Flow(inputs, lambda count: assignment.batches(count, BATCH), examples)
