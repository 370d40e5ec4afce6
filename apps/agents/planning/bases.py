"""The forms of a session's model that techniques start from: the original, and its export where there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apps.agents.planning.prediction import ONNX_EXPORT
from apps.agents.planning.profile import GraphProfile, Lead, profile_of_analysis, profile_of_model
from apps.agents.reports import AnalysisReport, ModelSummary, Task
from apps.agents.techniques import TechniqueSpec


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
    exported: Basis | None = None

    def of(self, spec: TechniqueSpec) -> Basis | None:
        """The form that `spec` starts from; `None` where it takes neither."""
        for basis in (self.original, self.exported):
            if basis is not None and basis.model.format in spec.formats:
                return basis
        return None

    def profile(self, spec: TechniqueSpec) -> GraphProfile:
        """What predictions of `spec` are made on; those of the export itself on what came of it."""
        if spec.name == ONNX_EXPORT and self.exported is not None:
            return self.exported.profile
        return (self.of(spec) or self.original).profile

    def starts_from_export(self, spec: TechniqueSpec) -> bool:
        return self.exported is not None and self.of(spec) is self.exported


def bases_of_analyses(original: AnalysisReport, exported: AnalysisReport | None, task: Task) -> Bases:
    """The forms of an analysed model, which is judged by `task`."""
    first = Basis(original.model, original, _judged(profile_of_analysis(original), task))
    if exported is None:
        return Bases(first)
    profile = profile_of_analysis(exported)
    profile = replace(profile, lead=_lead(original, exported), generative=first.profile.generative)
    return Bases(first, Basis(exported.model, exported, _judged(profile, task)))


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
