"""Whether a session may and can use a technique, and if not, a sentence that says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from apps.agents.contracts.criteria import CountedSize, Criteria
from apps.agents.contracts.formats import LITERT_SIZED
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Omission, Plan
from apps.agents.planning.bases import Bases
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.compatibility import (
    by_framework,
    compatibility,
    exporter_for,
    format_label,
    formats_taken,
    why_no_teacher,
)


def obstacle_to(
    spec: TechniqueSpec,
    *,
    criteria: Criteria,
    model: ModelSummary,
    dataset: DatasetSummary,
    libraries: Iterable[str] = (),
    disabled: Iterable[str] = (),
    analysis: AnalysisReport | None = None,
    student: ModelSummary | None = None,
) -> str | None:
    """Why `spec` is left out: forbidden, switched off, without its student, not for this device, or incompatible; else
    `None`.

    Compatibility is decided by `techniques.compatibility` and by the analysis. Empty `libraries` means that the workers
    have not reported theirs yet, so libraries are not checked.
    """
    if not criteria.permits(spec.name):
        return "The criteria do not allow it."
    if spec.name in set(disabled):
        return "It is switched off on this installation."
    if criteria.counted_size is CountedSize.TFLITE and (made := spec.makes(model.format)) not in LITERT_SIZED:
        return f"Its result is {format_label(made)}, but the criteria count the size as TensorFlow Lite."
    if spec.trains_student and student is None:
        return "It trains a model that is chosen as the session's student, and none was."
    if criteria.target.device not in spec.devices:
        return f"It does not support {criteria.target.device.value}."
    found = [entry for entry in (analysis.compatibility if analysis else ()) if entry.technique == spec.name]
    for entry in (*compatibility(model, tuple(libraries) or None, dataset, [spec]), *found):
        if not entry.compatible:
            return entry.reason
    return None


def with_pauses(plan: Plan, paused: Mapping[str, str]) -> Plan:
    """`plan`, which says why the techniques are left out that are `paused`; these were disabled when it was made."""
    omitted = tuple(
        one.model_copy(update={"reason": paused[one.technique]}) if one.technique in paused else one
        for one in plan.omitted
    )
    return plan.model_copy(update={"omitted": omitted})


@dataclass(frozen=True)
class Sorting:
    """Sorts the catalogue into techniques that a plan may use and techniques that it leaves out."""

    bases: Bases
    criteria: Criteria
    dataset: DatasetSummary
    libraries: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    export_failures: Mapping[str, str] = field(default_factory=dict)
    """By target format: why an export that was tried failed."""

    def sort(self, specs: Mapping[str, TechniqueSpec]) -> tuple[dict[str, TechniqueSpec], list[Omission]]:
        """The usable techniques by name, and a reason for each other one. Techniques for formats that are not available
        share one line per framework."""
        available: dict[str, TechniqueSpec] = {}
        omitted: list[Omission] = []
        beyond: list[TechniqueSpec] = []
        for spec in specs.values():
            if self.bases.of(spec) is None:
                beyond.append(spec)
            elif why := self.obstacle(spec):
                omitted.append(Omission(technique=spec.name, title=spec.label, reason=why))
            else:
                available[spec.name] = spec
        for spec in tuple(available.values()):
            better = spec.knowledge.superseded
            if better and better.by in available and not self._asked_for(spec.name):
                del available[spec.name]
                omitted.append(Omission(technique=spec.name, title=spec.label, reason=better.reason))
        return available, omitted + self._out_of_reach(beyond, available, omitted)

    def _asked_for(self, technique: str) -> bool:
        return self.criteria.names(technique)

    def obstacle(self, spec: TechniqueSpec) -> str | None:
        """Why `spec` cannot be used on the form of the model that it takes; `None` if it can."""
        basis = self.bases.of(spec) or self.bases.original
        why = why_no_teacher(spec, self.bases.original.model.format) or obstacle_to(
            spec,
            criteria=self.criteria,
            model=basis.model,
            dataset=self.dataset,
            libraries=self.libraries,
            disabled=self.disabled,
            analysis=basis.analysis,
            student=self.bases.student,
        )
        counted = self.criteria.counted_size is CountedSize.COMPRESSED or self._asked_for(spec.name)
        if why is None and spec.knowledge.only_compressed and not counted:
            return "Only the compressed file becomes smaller by it, and the criteria do not count that."
        if why is None and spec.family is Family.EXPORT and basis.analysis is not None and not self.bases.made_by(spec):
            return self.export_failures.get(spec.output_format or "") or "There was not enough time left for it."
        return why

    def _out_of_reach(
        self, beyond: list[TechniqueSpec], available: Mapping[str, TechniqueSpec], omitted: list[Omission]
    ) -> list[Omission]:
        """One line for each framework whose techniques take none of the formats in which the model is available."""
        model = self.bases.original.model
        lines = []
        for framework, group in by_framework(beyond):
            exporter = exporter_for(group[0], model.format)
            if exporter is not None and exporter.name in available:
                continue  # In a preview: they are weighed once the exported model exists.
            why_not = next((one.reason for one in omitted if exporter and one.technique == exporter.name), None)
            reason = (
                f"They start from the export to {format_label(exporter.output_format or '')}, which is not available: "
                f"{why_not}"
                if exporter and why_not
                else f"They take {formats_taken(group)}, but this model's format is {format_label(model.format)}."
            )
            lines.append(Omission(technique=framework, title=f"Techniques for {framework}", reason=reason))
        return lines
