"""Structured pruning as a technique: the smallest widths that leave the wanted work, and a program that has them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.cutting import Cutter, Manner
from apps.agents.backends.torch.pruning.gradients import gradients_of
from apps.agents.backends.torch.pruning.importance import SCALE, TAYLOR, has_scales
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import widths_of, workload_of
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.module import to_save, trainable
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueNothingToPrune
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.pruning import PruningAgent, Reduction, channels_by_layer

ROWS = 2


@dataclass(frozen=True)
class _Cut:
    model: TorchModel
    reduction: Reduction
    widths: dict[str, tuple[int, int]]
    """Before and after, of every layer."""


class StructuredPruning(PruningAgent):
    """Cuts whole channels. The forecast is the cut itself, which takes seconds."""

    _cut: _Cut | None = None

    def forecast(self, assignment: Assignment) -> Reduction:
        self._cut = self._made_smaller(assignment)
        return self._cut.reduction

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        cut = self._cut or self._made_smaller(assignment)
        self._cut = cut
        context.log(cut.reduction.sentence())
        context.progress(0.6, "saving")
        made = save_model(to_save(cut.model), assignment.out)
        channels = channels_by_layer((name, *pair) for name, pair in cut.widths.items())
        return Applied(made, {**cut.reduction.evidence(), "channels_by_layer": channels})

    def reduction(self, assignment: Assignment) -> Reduction:
        assert self._cut is not None
        artifact = next(assignment.out.iterdir())
        feeds = next(assignment.batches(ROWS, ROWS))
        model = trainable(load_model(artifact, assignment.scratch), assignment.spec.label)
        given = model.tensors(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        rows = assignment.dataset.layout.rows(feeds)
        return Reduction(self._cut.reduction.before, workload_of(model.module, tensors, rows))

    def _made_smaller(self, assignment: Assignment) -> _Cut:
        use_threads(assignment.threads)
        parameters, label = assignment.parameters, assignment.spec.label
        manner = Manner(parameters["importance"], parameters["scope"], parameters["schedule"], parameters["round_to"])
        feeds = next(assignment.batches(ROWS, ROWS))
        model = to_cut(load_model(assignment.model, assignment.scratch), feeds, assignment.scratch, label)
        if manner.importance == SCALE and not has_scales(model.module):
            reason = "it has no batch norms whose scales could rank channels; choose another importance"
            raise TechniqueNotApplicable(technique=label, reason=reason)
        learn = gradients_of(model, assignment) if manner.importance == TAYLOR else _nothing
        given = model.tensors(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        cutter = Cutter(model.module, tensors, assignment.dataset.layout.rows(feeds), manner, learn)
        if not cutter.cuttable:
            raise TechniqueNothingToPrune(technique=label, reason="no layer bears losing a block of its channels")
        module, reduction = cutter.to_target(float(parameters["macs_removed"]))
        before, after = widths_of(model.module), widths_of(module)
        widths = {name: (before[name], after[name]) for name in before}
        return _Cut(replace(model, module=module), reduction, widths)


def _nothing(module: nn.Module) -> None:
    """Criteria of weights alone take no gradients."""
