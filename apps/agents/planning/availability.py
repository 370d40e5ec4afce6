"""Whether a technique may and can be used in a session at all, and the sentence that says why not."""

from __future__ import annotations

from collections.abc import Iterable

from apps.agents.compatibility import compatibility
from apps.agents.criteria import Criteria
from apps.agents.reports import AnalysisReport, DatasetSummary, ModelSummary
from apps.agents.techniques import TechniqueSpec


def obstacle_to(
    spec: TechniqueSpec,
    *,
    criteria: Criteria,
    model: ModelSummary,
    dataset: DatasetSummary,
    libraries: Iterable[str] = (),
    disabled: Iterable[str] = (),
    analysis: AnalysisReport | None = None,
) -> str | None:
    """Why `spec` is left out: forbidden, switched off, not for this device, or it does not fit; else `None`.

    Fitting is judged by `apps.agents.compatibility`, and by what the analysis found. No `libraries` means that
    no worker has said yet what it has, and nothing is concluded from it.
    """
    if not criteria.permits(spec.name):
        return "The criteria do not allow it."
    if spec.name in set(disabled):
        return "It is switched off on this installation."
    if criteria.target.device not in spec.devices:
        return f"It has nothing for {criteria.target.device.value}."
    found = [entry for entry in (analysis.compatibility if analysis else ()) if entry.technique == spec.name]
    for entry in (*compatibility(model, tuple(libraries) or None, dataset, [spec]), *found):
        if not entry.compatible:
            return entry.reason
    return None
