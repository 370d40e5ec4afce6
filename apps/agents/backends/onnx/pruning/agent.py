"""Structured pruning of an ONNX file without training: chooses the cut, makes it, and fits the layers again."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.flow import flow_of
from apps.agents.backends.onnx.graph_check import check_graph
from apps.agents.backends.onnx.pruning.anatomy import OnnxAnatomy, examine
from apps.agents.backends.onnx.pruning.compensation import Compensation, FittedLayer
from apps.agents.backends.onnx.pruning.measuring import OnnxMeasurer
from apps.agents.backends.onnx.pruning.surgery import cut
from apps.agents.backends.onnx.pruning.tracing import Layer
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable, TechniqueNothingToPrune
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.channel_pruning.groups import why_nothing
from apps.agents.techniques.channel_pruning.plan import Choice, CutPlan, choose
from apps.agents.techniques.pruning import PruningAgent
from apps.agents.techniques.reduction import Reduction
from apps.agents.techniques.speed_target import Found, SpeedGoal, SpeedSearch, time_beside

_CHOSEN, _TIMED, _FITTED = 0.3, 0.6, 0.95
"""The progress when channels are chosen, when the speed asked for is found, and when layers are fitted."""
_LACK = 0.01
"""The removed share may fall short by this much, because widths change in steps."""


class StructuredPruning(PruningAgent):
    """Cuts channels, and fits the layers after them again by least squares on calibration examples."""

    _anatomy: OnnxAnatomy
    _plan: CutPlan

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also follows the channels. Raises `TechniqueNothingToPrune` with the reasons if none can be cut."""
        super().check(assignment, context)
        model = files.open_model(assignment.model, assignment.scratch)
        feeds = next(assignment.batches(1, 1))
        folder = Path(tempfile.mkdtemp(prefix="pruning-", dir=assignment.scratch))
        self._anatomy = examine(model, folder, feeds, assignment.dataset.layout.rows(feeds))
        if not self._anatomy.cuttable:
            raise TechniqueNothingToPrune(technique=assignment.spec.label, reason=why_nothing(self._anatomy.uncut))

    def forecast(self, assignment: Assignment) -> Reduction:
        """Assumes equal shares for all groups. Raises `TechniqueNotApplicable` if too little can be removed.

        If a speed is asked for, this is a guess: timing will decide what is removed.
        """
        goal, multiple = SpeedGoal.of(assignment.parameters), int(assignment.parameters["multiple_of"])
        asked = goal.guess if goal.asked else float(assignment.parameters["macs_removed"])
        found = Reduction(self._anatomy.whole, self._anatomy.uniform(asked, multiple))
        if not goal.asked and found.macs_removed < asked - _LACK:
            reason = (
                f"with widths in multiples of {multiple} at most {found.macs_removed:.0%} of its multiply-accumulates "
                f"can be removed, not {asked:.0%}"
            )
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        return found

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        chosen, anatomy, flow = assignment.parameters, self._anatomy, flow_of(assignment)
        measurer = OnnxMeasurer(anatomy.trace, flow, assignment.seed)
        choice = choose(anatomy, measurer, chosen, lambda share, what: context.progress(_CHOSEN * share, what))
        target = self._target(assignment, choice, context)
        self._plan = choice.cut({**chosen, "macs_removed": target.macs_removed})
        proto = cut(anatomy.trace, self._plan.kept)
        fitted: list[FittedLayer] = []
        if chosen["compensate"]:
            begin = _TIMED if target.evidence else _CHOSEN
            compensation = Compensation(anatomy.trace, self._plan.kept, proto, flow, chosen["ridge"], assignment.seed)
            fitted = compensation.run(lambda share, what: context.progress(begin + (_FITTED - begin) * share, what))
        context.progress(_FITTED, "checking the graph")
        check_graph(proto, assignment.spec.label)
        found = {**self.reduction(assignment).evidence(), **target.evidence, **self._plan.evidence(anatomy)}
        found["fitted"] = [asdict(one) for one in fitted]
        return Applied(save_artifact(proto, assignment.out), found, target.parameters)

    def _target(self, assignment: Assignment, choice: Choice[Layer], context: Context) -> Found:
        """The share to remove: the one asked for, or the smallest that gives the speed asked for."""
        goal = SpeedGoal.of(assignment.parameters)
        if not goal.asked:
            return Found(float(assignment.parameters["macs_removed"]))

        def timed(share: float) -> LatencyComparison:
            plan = choice.cut({**assignment.parameters, "macs_removed": share})
            proto = cut(self._anatomy.trace, plan.kept)
            folder = Path(tempfile.mkdtemp(prefix="timed-", dir=assignment.scratch))
            return time_beside(assignment, save_artifact(proto, folder), goal)

        def tell(share: float, what: str) -> None:
            context.progress(_CHOSEN + (_TIMED - _CHOSEN) * share, what)

        most = Reduction(
            self._anatomy.whole, self._anatomy.uniform(1.0, int(assignment.parameters["multiple_of"]))
        ).macs_removed
        return SpeedSearch(goal, most, timed, tell, context.log, assignment.spec.label).run()

    def reduction(self, assignment: Assignment) -> Reduction:
        return Reduction(self._anatomy.whole, self._anatomy.left(self._plan.widths, self._plan.kept))
