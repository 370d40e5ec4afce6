"""The forms of a session's model that techniques start from: the original, and what it was exported to."""

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
    """One form of the model; `analysis` is `None` before anything ran."""

    model: ModelSummary
    analysis: AnalysisReport | None
    profile: GraphProfile


@dataclass(frozen=True)
class Bases:
    """What candidates are made of. Their predictions are against the original, whichever form they start from."""

    original: Basis
    exported: tuple[Basis, ...] = ()

    def of(self, spec: TechniqueSpec) -> Basis | None:
        """The form that `spec` starts from; `None` where it takes neither."""
        return next((basis for basis in self.forms if basis.model.format in spec.formats), None)

    @property
    def forms(self) -> tuple[Basis, ...]:
        """All of them, the original first."""
        return (self.original, *self.exported)

    def made_by(self, spec: TechniqueSpec) -> Basis | None:
        """What the export `spec` has made of the original; `None` where it has not, or is no export."""
        if spec.family is not Family.EXPORT:
            return None
        return next((basis for basis in self.exported if basis.model.format == spec.output_format), None)

    def profile(self, spec: TechniqueSpec) -> GraphProfile:
        """What predictions of `spec` are made on; those of an export itself on what came of it."""
        return (self.made_by(spec) or self.of(spec) or self.original).profile

    def starts_from_export(self, spec: TechniqueSpec) -> str | None:
        """The format of the export that `spec` starts from; `None` where it starts from the original."""
        basis = self.of(spec)
        return basis.model.format if basis is not None and basis in self.exported else None


def bases_of_analyses(original: AnalysisReport, exported: Sequence[AnalysisReport], task: Task) -> Bases:
    """The forms of an analysed model, which is judged by `task`."""
    first = Basis(original.model, original, _judged(profile_of_analysis(original), task))
    return Bases(first, tuple(_exported(one, first, original, task) for one in exported))


def _exported(analysis: AnalysisReport, first: Basis, original: AnalysisReport, task: Task) -> Basis:
    profile = profile_of_analysis(analysis)
    profile = replace(profile, lead=_lead(original, analysis), generative=first.profile.generative)
    return Basis(analysis.model, analysis, _judged(profile, task))


def bases_of_model(model: ModelSummary, task: Task) -> Bases:
    """The only form that is known of a model that nobody has run yet."""
    return Bases(Basis(model, None, _judged(profile_of_model(model), task)))


def _judged(profile: GraphProfile, task: Task) -> GraphProfile:
    return replace(profile, perplexity=profile.generative and task is Task.LANGUAGE_MODELING)


def _lead(original: AnalysisReport, exported: AnalysisReport) -> Lead:
    """Both were measured at the same target; a candidate's speed-up is against the original in its own runtime."""
    return Lead(
        speedup=original.latency.p50_ms / max(exported.latency.p50_ms, 1e-6),
        size_ratio=original.model.size_bytes / max(exported.model.size_bytes, 1),
    )
