"""Writes a measured candidate down as an experience."""

from __future__ import annotations

from collections.abc import Mapping

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.experience import Expected, Experience, Fingerprint, Provenance
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.state import Prediction
from apps.agents.evaluation.risk_outcome import loss_held
from apps.agents.memory.kinds import families_of, kinds_of_chain
from apps.agents.techniques.spec import TechniqueSpec


def experience_of(
    chain: Chain,
    predicted: Prediction,
    report: EvaluationReport,
    minutes: float | None,
    fingerprint: Fingerprint,
    provenance: Provenance,
    specs: Mapping[str, TechniqueSpec],
) -> Experience:
    """The experience of a candidate that `chain` made. `report` measured it, `minutes` were spent on it."""
    plan = Expected(
        speedup=predicted.speedup,
        size_ratio=predicted.size_ratio,
        metric_drop_points=predicted.metric_drop_points,
        minutes=predicted.minutes,
        risk=predicted.risk,
    )
    return Experience(
        fingerprint=fingerprint,
        kinds=kinds_of_chain(chain, specs),
        family=families_of(chain, specs),
        chain=chain,
        tables=predicted.tables or plan,
        predicted=plan,
        speedup=None if report.latency.busy else report.latency.speedup,
        size_ratio=report.counted_bytes.ratio,
        drop=report.primary.drop,
        minutes=minutes,
        verdict=report.verdict.value,
        loss_verdict=held.value if (held := loss_held(report)) else "",
        provenance=provenance,
    )
