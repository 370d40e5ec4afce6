"""The steps before the plan: the original is analysed and exported if possible, and each export is analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from apps.agents.contracts.chain import Chain, key_of
from apps.agents.contracts.criteria import Criteria, Device
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.state import SessionState, Status, StepKind, StepRequest
from apps.agents.planning.availability import obstacle_to
from apps.agents.planning.chains import application_of
from apps.agents.session.earlier import made_before
from apps.agents.session.steps import ANALYSE, LOST, PLAN, Steps, analyse_key, starting_from
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import format_label


def measuring_queue(criteria: Criteria) -> str:
    """The queue of steps that measure: that of the session's target."""
    return "gpu" if criteria.target.device is Device.CUDA else "cpu"


def optimizing_queue(spec: TechniqueSpec) -> str:
    """The queue of steps that apply `spec`: the CPU's if the technique works there, to keep accelerators free."""
    return "cpu" if Device.CPU in spec.devices else "gpu"


@dataclass(frozen=True)
class Preparation:
    """The steps up to the plan. `in_time`: the session's minutes are not spent, so exports may still be made."""

    state: SessionState
    specs: Mapping[str, TechniqueSpec]
    in_time: bool

    @cached_property
    def steps(self) -> Steps:
        return Steps.of(self.state)

    @property
    def requests(self) -> tuple[StepRequest, ...]:
        """The next steps, of which the plan is the last; empty while others run."""
        if self.steps.get(ANALYSE) is None:
            return (self._analyse(),)
        if self.steps.completed(ANALYSE) is None:
            return ()
        wanted = [request for spec in self._exporters if (request := self._next_of(spec)) is not None]
        if wanted:
            return tuple(wanted[: max(0, max(1, self.state.parallelism) - self.steps.active)])
        return () if self.steps.active else (self._plan(),)

    @cached_property
    def _exporters(self) -> tuple[TechniqueSpec, ...]:
        """The techniques that export the original to another runtime's format."""
        return tuple(
            spec
            for spec in self.specs.values()
            if spec.family is Family.EXPORT and self.state.model.format in spec.formats
        )

    def _next_of(self, spec: TechniqueSpec) -> StepRequest | None:
        """The next step towards the analysed export of `spec`; `None` if it is done, lost, running or impossible."""
        export = self.steps.made(_chain(spec))
        if export is None:
            return self._export(spec) if self._can_export(spec) else None
        if export.status is Status.COMPLETED and self.steps.analysis_of(export) is None:
            return self._analyse_exported(spec, export.request.key)
        return None

    def _can_export(self, spec: TechniqueSpec) -> bool:
        """Whether to apply `spec`: the criteria allow it, workers can do it, and time is left."""
        analysed = self.steps.completed(ANALYSE)
        if analysed is None or not (self.in_time or key_of(_chain(spec)) in made_before(self.state)):
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

    def _export(self, spec: TechniqueSpec) -> StepRequest:
        return StepRequest(
            key=self.steps.key_of(_chain(spec)),
            kind=StepKind.OPTIMIZE,
            queue=optimizing_queue(spec),
            reason=f"Every {format_label(spec.output_format or '')} technique starts from the exported model, which is "
            "made once and compared with the original.",
            technique=spec.name,
            parameters=spec.resolve({}),
        )

    def _analyse_exported(self, spec: TechniqueSpec, maker: str) -> StepRequest:
        return StepRequest(
            key=analyse_key(maker),
            kind=StepKind.ANALYSE,
            queue=measuring_queue(self.state.criteria),
            reason=f"Measures the same model in {runtime_of(spec.output_format or '')}: which runtime is faster, and "
            "how sensitive its graph is.",
            parents=starting_from(maker),
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
                **({"paused_techniques": self.state.paused_techniques} if self.state.paused_techniques else {}),
                "export_failures": self._export_failures(),
                **({"edits": self.state.edits.model_dump(mode="json")} if self.state.edits.count else {}),
                **({"learned": self.state.learned.model_dump(mode="json")} if self.state.learned.lessons else {}),
                **({"usual_s": dict(self.state.usual_s)} if self.state.usual_s else {}),
            },
        )

    def _export_failures(self) -> dict[str, str]:
        """By target format: why a requested export failed, in a sentence."""
        found: dict[str, str] = {}
        for spec in self._exporters:
            export = self.steps.made(_chain(spec))
            for step in (export, self.steps.analysis_of(export)) if export else ():
                if step is not None and step.status in LOST:
                    sentence = step.error or f"The step {step.request.key} was {step.status.value}."
                    found.setdefault(spec.output_format or "", sentence)
        return found


def _chain(spec: TechniqueSpec) -> Chain:
    """The chain of an export, which starts from the original."""
    return (application_of(spec, spec.resolve({})),)
