"""The forms of a session's model from which techniques start: the original and its exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.knowledge.profile import GraphProfile, Lead, profile_of_analysis, profile_of_model


@dataclass(frozen=True)
class Basis:
    """One form of the model. `analysis` is `None` before anything has run."""

    model: ModelSummary
    analysis: AnalysisReport | None
    profile: GraphProfile


@dataclass(frozen=True)
class Bases:
    """The forms from which candidates are made. Predictions are relative to the original, whichever form is used."""

    original: Basis
    exported: tuple[Basis, ...] = ()
    student: ModelSummary | None = None
    """The model that a member gave the session to be trained. Nothing else starts from it."""

    @property
    def student_share(self) -> float | None:
        """Its parameters as a share of the original's; `None` without a student."""
        return None if self.student is None else self.student.parameters / max(1, self.original.model.parameters)

    def of(self, spec: TechniqueSpec) -> Basis | None:
        """The form from which `spec` starts; `None` if it takes none of them."""
        return next((basis for basis in self.forms if basis.model.format in spec.formats), None)

    @property
    def forms(self) -> tuple[Basis, ...]:
        """All of them, the original first."""
        return (self.original, *self.exported)

    def made_by(self, spec: TechniqueSpec) -> Basis | None:
        """The form that the export `spec` made; `None` if it has not run, or if `spec` is not an export."""
        if spec.family is not Family.EXPORT:
            return None
        return next((basis for basis in self.exported if basis.model.format == spec.output_format), None)

    def profile(self, spec: TechniqueSpec) -> GraphProfile:
        """The profile for predictions of `spec`. For an export, it is that of the exported model."""
        return (self.made_by(spec) or self.of(spec) or self.original).profile

    def starts_from_export(self, spec: TechniqueSpec) -> str | None:
        """The format of the export from which `spec` starts; `None` if it starts from the original."""
        basis = self.of(spec)
        return basis.model.format if basis is not None and basis in self.exported else None


def bases_of_analyses(original: AnalysisReport, exported: Sequence[AnalysisReport], task: Task) -> Bases:
    """The forms of an analysed model for the data set's `task`."""
    first = Basis(original.model, original, _judged(profile_of_analysis(original), task))
    return Bases(first, tuple(_exported(one, first, original, task) for one in exported))


def _exported(analysis: AnalysisReport, first: Basis, original: AnalysisReport, task: Task) -> Basis:
    profile = profile_of_analysis(analysis)
    profile = replace(profile, lead=_lead(original, analysis), generative=first.profile.generative)
    return Basis(analysis.model, analysis, _judged(profile, task))


def bases_of_model(model: ModelSummary, task: Task, student: ModelSummary | None = None) -> Bases:
    """The only known form of a model that has not been run yet, and the student that a member gave."""
    return Bases(Basis(model, None, _judged(profile_of_model(model), task)), student=student)


def _judged(profile: GraphProfile, task: Task) -> GraphProfile:
    return replace(profile, perplexity=profile.generative and task is Task.LANGUAGE_MODELING)


def _lead(original: AnalysisReport, exported: AnalysisReport) -> Lead:
    """How much faster and smaller the exported model is. Both were measured on the same target, each in its own
    runtime."""
    return Lead(
        speedup=original.latency.p50_ms / max(exported.latency.p50_ms, 1e-6),
        size_ratio=original.model.size_bytes / max(exported.model.size_bytes, 1),
    )
