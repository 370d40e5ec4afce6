"""What is found out before a session is planned: the original is analysed, exported where it can be, analysed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.agents.criteria import Criteria, Device
from apps.agents.planning.availability import obstacle_to
from apps.agents.planning.prediction import ONNX_EXPORT
from apps.agents.reports import AnalysisReport
from apps.agents.state import ACTIVE, SessionState, Status, StepKind, StepRequest
from apps.agents.techniques import TechniqueSpec
from apps.agents.trials import ANALYSE, ANALYSE_EXPORTED, EXPORT, PLAN, Steps

LOST = (Status.FAILED, Status.CANCELLED)


def measuring_queue(criteria: Criteria) -> str:
    """Where models are measured: on the session's own target."""
    return "gpu" if criteria.target.device is Device.CUDA else "cpu"


def optimizing_queue(spec: TechniqueSpec) -> str:
    """Where a technique is applied: wherever it can be done without an accelerator, one is left to others."""
    return "cpu" if Device.CPU in spec.devices else "gpu"


@dataclass(frozen=True)
class Groundwork:
    """The steps up to the plan. `in_time` is whether the session's minutes allow for more than the plan."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]
    in_time: bool

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state)

    @property
    def requests(self) -> tuple[StepRequest, ...]:
        """What is to be found out next, at last the plan; empty while something is being found out."""
        if self.steps.get(ANALYSE) is None:
            return (self._analyse(),)
        if self.steps.completed(ANALYSE) is None:
            return ()
        export, analysis = self.steps.get(EXPORT), self.steps.get(ANALYSE_EXPORTED)
        if export is None:
            return (self._export() if self._can_export() else self._plan(),)
        if analysis is None and export.status is Status.COMPLETED:
            return (self._analyse_exported(),)
        waiting = export.status in ACTIVE or (analysis is not None and analysis.status in ACTIVE)
        return () if waiting else (self._plan(),)

    def _can_export(self) -> bool:
        """Whether the original is to become ONNX: the criteria allow it, workers can do it, and time is left."""
        spec, analysed = self.specs.get(ONNX_EXPORT), self.steps.completed(ANALYSE)
        if spec is None or analysed is None or not self.in_time:
            return False
        obstacle = obstacle_to(
            spec,
            criteria=self.state.criteria,
            model=self.state.model,
            dataset=self.state.dataset,
            libraries=self.state.libraries,
            disabled=self.state.disabled_techniques,
            analysis=AnalysisReport.model_validate(analysed.result),
        )
        return obstacle is None

    def _analyse(self) -> StepRequest:
        return StepRequest(
            key=ANALYSE,
            kind=StepKind.ANALYSE,
            queue=measuring_queue(self.state.criteria),
            reason="Measures where time and bytes go and how sensitive each layer is, before anything is decided.",
        )

    def _export(self) -> StepRequest:
        spec = self.specs[ONNX_EXPORT]
        return StepRequest(
            key=EXPORT,
            kind=StepKind.OPTIMIZE,
            queue=optimizing_queue(spec),
            reason="Every ONNX technique starts from the exported model, which is made once and compared with the "
            "original.",
            technique=spec.name,
            parameters=spec.resolve({}),
        )

    def _analyse_exported(self) -> StepRequest:
        return StepRequest(
            key=ANALYSE_EXPORTED,
            kind=StepKind.ANALYSE,
            queue=measuring_queue(self.state.criteria),
            reason="Measures the same model in ONNX Runtime: which runtime is faster, and what its graph can bear.",
            parent=EXPORT,
        )

    def _plan(self) -> StepRequest:
        return StepRequest(
            key=PLAN,
            kind=StepKind.PLAN,
            queue="cpu",
            reason="Weighs every technique and number type by predicted gain, risk and cost.",
            parameters={
                "libraries": list(self.state.libraries),
                "disabled_techniques": list(self.state.disabled_techniques),
                "export_failure": self._export_failure(),
            },
        )

    def _export_failure(self) -> str | None:
        """Why there is no exported model to plan for although one was asked for, in a sentence."""
        for key in (EXPORT, ANALYSE_EXPORTED):
            step = self.steps.get(key)
            if step is not None and step.status in LOST:
                return step.error or f"The step {key} was {step.status.value}."
        return None
