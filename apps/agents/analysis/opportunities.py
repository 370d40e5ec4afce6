"""Opportunities: the best variant of every compatible technique, with its expected gain.

The numbers are the planner's predictions (`apps.agents.planning.prediction`), so analysis and plan always agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.reports.analysis import AnalysisReport, Opportunity
from apps.agents.contracts.state import Prediction
from apps.agents.planning.chains import application_of
from apps.agents.planning.ordering import WORTH_SAYING, collapse, one_at_a_time, predicted_gain, worth
from apps.agents.planning.prediction import predict
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.profile import GraphProfile, profile_of_analysis
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.agents.techniques.knowledge.variant import Variant
from apps.agents.techniques.variants import variants_of


def opportunities(
    report: AnalysisReport,
    criteria: Criteria,
    techniques: Mapping[str, TechniqueSpec] | None = None,
    knowledge: Knowledge = TABLES,
) -> tuple[Opportunity, ...]:
    """One opportunity for each compatible technique with a predicted gain, the best under the objective first.

    Those that sessions try last come last.

    A variant that is predicted to lose far more than the criteria allow is left out, however fast it is.
    """
    specs = catalogue() if techniques is None else techniques
    profile = profile_of_analysis(report)
    compatible = {entry.technique for entry in report.compatibility if entry.compatible}
    best: dict[str, tuple[float, Opportunity]] = {}
    for variant in _candidates(profile, specs):
        if variant.technique not in compatible:
            continue
        spec = specs[variant.technique]
        prediction = predict(spec, spec.resolve(variant.parameters), profile, criteria, knowledge)
        if max(prediction.speedup, prediction.size_ratio) < WORTH_SAYING or collapse(prediction, criteria):
            continue
        value = worth(predicted_gain(prediction, criteria), prediction, spec)
        if variant.technique not in best or value > best[variant.technique][0]:
            best[variant.technique] = value, _opportunity(spec, variant, prediction)
    ranked = sorted(best.items(), key=lambda item: (one_at_a_time([specs[item[0]]]), -item[1][0]))
    return tuple(opportunity for _, (_, opportunity) in ranked)


def _candidates(profile: GraphProfile, specs: Mapping[str, TechniqueSpec]) -> list[Variant]:
    """The planner's variants for the model's own format."""
    taking = (spec for spec in specs.values() if profile.format in spec.formats)
    found = [variant for spec in taking for variant in variants_of(spec, profile)]
    return sorted(found, key=lambda variant: variant.place)


def _opportunity(spec: TechniqueSpec, variant: Variant, prediction: Prediction) -> Opportunity:
    return Opportunity(
        technique=spec.name,
        title=application_of(spec, spec.resolve(variant.parameters)).named,
        expected_speedup=prediction.speedup,
        expected_size_ratio=prediction.size_ratio,
        reason=f"{variant.reason} Risk: {prediction.risk}. {prediction.basis}",
    )
