"""Structured pruning as a technique: finds the widths that leave the share of work asked for, and saves the program."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pruning.cutting import Cutter, Manner
from apps.agents.backends.torch.pruning.gradients import gradients_of
from apps.agents.backends.torch.pruning.importance import SCALE, TAYLOR, has_scales
from apps.agents.backends.torch.pruning.kernels import trimmed
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import widths_of, workload_of
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.training.module import to_save, trainable
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueNothingToPrune
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.parameters import KERNEL_SIDE
from apps.agents.techniques.pruning import PruningAgent, channels_by_layer
from apps.agents.techniques.reduction import Reduction
from apps.agents.techniques.speed_target import LEAST, Found, SpeedGoal, SpeedSearch, time_beside

ROWS = 2
MOST_OF_THE_WORK = 0.98
"""The most that the technique's parameter allows."""
_SEARCHED = 0.6
"""Share of the progress bar when the cut is made."""


@dataclass(frozen=True)
class _Cut:
    model: TorchModel
    reduction: Reduction
    widths: dict[str, tuple[int, int]]
    """Of every layer, before and after the cut."""


class StructuredPruning(PruningAgent):
    """Cuts whole channels. The forecast makes the actual cut, which takes seconds."""

    _cutter: _CopyCutter
    _cut: _Cut | None = None

    def forecast(self, assignment: Assignment) -> Reduction:
        """If a speed is asked for, this is a guess: timing will decide what is removed."""
        goal = SpeedGoal.of(assignment.parameters)
        share = max(LEAST, goal.guess) if goal.asked else float(assignment.parameters["macs_removed"])
        self._cutter = self._copy_cutter(assignment)
        self._cut = self._cutter.cut(share)
        return self._cut.reduction

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        goal = SpeedGoal.of(assignment.parameters)
        found = self._until_fast(assignment, goal, context) if goal.asked else Found(0.0)
        cut = self._cut
        assert cut is not None
        context.log(cut.reduction.sentence())
        context.progress(_SEARCHED, "saving")
        made = save_model(to_save(cut.model), assignment.out)
        channels = channels_by_layer((name, *pair) for name, pair in cut.widths.items())
        evidence = {**cut.reduction.evidence(), **found.evidence, "channels_by_layer": channels}
        if assignment.parameters.get(KERNEL_SIDE):
            evidence["kernels_trimmed"] = self._cutter.kernels_trimmed
        return Applied(made, evidence, found.parameters)

    def _until_fast(self, assignment: Assignment, goal: SpeedGoal, context: Context) -> Found:
        """Puts the smallest cut that meets the goal into `_cut`."""
        cutter = self._cutter

        def timed(share: float) -> LatencyComparison:
            folder = Path(tempfile.mkdtemp(prefix="timed-", dir=assignment.scratch))
            return time_beside(assignment, save_model(to_save(cutter.cut(share).model), folder), goal)

        def tell(share: float, what: str) -> None:
            context.progress(_SEARCHED * share, what)

        most = cutter.cut(MOST_OF_THE_WORK).reduction.macs_removed
        found = SpeedSearch(goal, most, timed, tell, context.log, assignment.spec.label).run()
        self._cut = cutter.cut(found.macs_removed)
        return found

    def reduction(self, assignment: Assignment) -> Reduction:
        assert self._cut is not None
        artifact = next(assignment.out.iterdir())
        feeds = next(assignment.batches(ROWS, ROWS))
        model = trainable(load_model(artifact, assignment.scratch), assignment.spec.label)
        given = model.tensors(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        rows = assignment.dataset.layout.rows(feeds)
        return Reduction(self._cut.reduction.before, workload_of(model.module, tensors, rows))

    def _copy_cutter(self, assignment: Assignment) -> _CopyCutter:
        use_threads(assignment.threads)
        parameters, label = assignment.parameters, assignment.spec.label
        manner = Manner(parameters["importance"], parameters["scope"], parameters["schedule"], parameters["round_to"])
        feeds = next(assignment.batches(ROWS, ROWS))
        model = to_cut(load_model(assignment.model, assignment.scratch), feeds, assignment.scratch, label)
        if manner.importance == SCALE and not has_scales(model.module):
            reason = "it has no batch norms whose scales could rank channels; choose another importance"
            raise TechniqueNotApplicable(technique=label, reason=reason)
        learn = gradients_of(model, assignment) if manner.importance == TAYLOR else _nothing
        given, rows = model.tensors(feeds), assignment.dataset.layout.rows(feeds)
        tensors = tuple(given[one.name] for one in model.summary.inputs)
        before, side = workload_of(model.module, tensors, rows), int(parameters.get(KERNEL_SIDE, 0))
        module, count = trimmed(model.module, side) if side else (model.module, 0)
        cutter = Cutter(module, tensors, rows, manner, learn, before)
        if not cutter.cuttable:
            raise TechniqueNothingToPrune(technique=label, reason="no layer can lose a block of its channels")
        return _CopyCutter(model, cutter, count)


@dataclass(frozen=True)
class _CopyCutter:
    """A model that is not changed, and the cutter of its copies."""

    model: TorchModel
    cutter: Cutter
    kernels_trimmed: int

    def cut(self, macs_removed: float) -> _Cut:
        module, reduction = self.cutter.to_target(macs_removed)
        before, after = widths_of(self.model.module), widths_of(module)
        widths = {name: (before[name], after[name]) for name in before}
        return _Cut(replace(self.model, module=module), reduction, widths)


def _nothing(module: nn.Module) -> None:
    """For criteria that need only weights, not gradients."""
