"""Techniques that are asked for by name but cannot be used: on this installation, device or model."""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.criteria import Criteria, Device
from apps.agents.contracts.phrasing import listed
from apps.agents.planning.conflicts.naming import fields_that_ask, not_asked_for, not_asked_title, without
from apps.agents.planning.conflicts.values import Conflict, Conflicting, Known, Severity
from apps.agents.techniques.catalogue import TechniqueSpec, missing_libraries
from apps.agents.techniques.compatibility import compatibility


def switched_off(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A technique that the operators have switched off."""
    for spec in _asked_for(criteria, known):
        if spec.name in known.disabled:
            yield _without(criteria, spec, "technique_disabled").says(
                f"The operators have switched {spec.label} off on this installation. Do without it."
            )


def paused(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A technique that is paused because it keeps failing. It can be asked for again after the pause."""
    for spec in _asked_for(criteria, known):
        if spec.name in known.paused and spec.name not in known.disabled:
            yield _without(criteria, spec, "technique_paused").says(
                f"{known.paused[spec.name]} Do without it, or wait until then."
            )


def not_installed(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A technique whose libraries no live worker has."""
    for spec in _asked_for(criteria, known):
        missing = missing_libraries(spec, known.libraries) if known.libraries else ()
        if missing:
            yield _without(criteria, spec, "technique_unavailable").says(
                f"No worker can run {spec.label}, because none of them has {listed(missing)}. Do without it, or "
                "install that on a worker."
            )


def for_another_device(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A technique that does not run on the target's device. It contradicts if it is required or nothing else is
    allowed."""
    device, allowed = criteria.target.device, criteria.allowed_techniques or ()
    unfit = [spec for spec in _asked_for(criteria, known) if device not in spec.devices]
    none_left = bool(allowed) and set(allowed) <= {spec.name for spec in unfit}
    for spec in unfit:
        firm = none_left or spec.name in criteria.required_techniques
        severity = Severity.CONTRADICTION if firm else Severity.WARNING
        other = spec.devices[0] if spec.devices else Device.CPU
        building = _without(criteria, spec, "technique_for_another_device", severity, "target.device")
        yield building.resolved("target", f"Make the target {_device(other)}", target={"device": other.value}).says(
            f"{spec.label} runs on {' or '.join(map(_device, spec.devices))} only, but the target is "
            f"{_device(device)}. Change the target, or do without it."
        )


def does_not_fit_the_model(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A required technique that cannot be applied to the model, whatever the workers have."""
    if known.model is None or known.dataset is None:
        return
    for technique in criteria.required_techniques:
        if (spec := known.specs.get(technique)) is None:
            continue
        entry = compatibility(known.model, None, known.dataset, [spec])[0]
        reason = None if entry.compatible else entry.reason
        if spec.trains_student and known.student is None:
            reason = "It trains a model that is chosen as the session's student, and none was."
        if reason:
            yield _without(criteria, spec, "technique_incompatible").says(
                f"{spec.label} is required, but it cannot be applied to this model. {reason}"
            )


def export_excluded(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A technique for another runtime starts from an export that the criteria exclude. A preview finds that out before
    the export would be missed."""
    for spec in _asked_for(criteria, known):
        exporter = known.exporter(spec.name)
        if exporter is None or criteria.permits(exporter.name):
            continue
        firm = spec.name in criteria.required_techniques or not _others(criteria, known)
        severity = Severity.CONTRADICTION if firm else Severity.WARNING
        patch: dict[str, list[str]] = {}
        if exporter.name in criteria.forbidden_techniques:
            patch["forbidden_techniques"] = without(criteria.forbidden_techniques, exporter.name)
        if criteria.allowed_techniques is not None and exporter.name not in criteria.allowed_techniques:
            patch["allowed_techniques"] = [*criteria.allowed_techniques, exporter.name]
        yield (
            _without(criteria, spec, "export_excluded", severity)
            .resolved("permit-export", f"Permit {exporter.label} as well", **patch)
            .says(
                f"{spec.label} starts from {exporter.label}, which the criteria exclude. Permit the export, or do "
                f"without {spec.label}."
            )
        )


def left_out_of_the_plan(criteria: Criteria, known: Known) -> Iterator[Conflict]:
    """A required technique that can be applied, but that the plan leaves out because it is predicted to break a
    limit."""
    if not criteria.required_techniques or known.model is None or (plan := known.plan(criteria)) is None:
        return
    for technique in criteria.required_techniques:
        spec = known.specs.get(technique)
        if spec is None or known.model.format not in spec.formats or not _usable(spec, criteria, known):
            continue
        if any(one.applies(technique) for one in plan.candidates):
            continue
        reason = next((one.reason for one in plan.omitted if one.technique == technique), "")
        yield _without(criteria, spec, "required_left_out", Severity.WARNING).says(
            f"{spec.label} is required, but as far as is known before the analysis, it will not be measured. {reason}"
        )


def _usable(spec: TechniqueSpec, criteria: Criteria, known: Known) -> bool:
    """Whether no other rule here has something against it."""
    if known.model is None or spec not in known.permitted(criteria) or (spec.trains_student and not known.student):
        return False
    return compatibility(known.model, known.libraries or None, known.dataset, [spec])[0].compatible


def _asked_for(criteria: Criteria, known: Known) -> list[TechniqueSpec]:
    names = dict.fromkeys((*(criteria.allowed_techniques or ()), *criteria.required_techniques))
    return [known.specs[name] for name in names if name in known.specs]


def _others(criteria: Criteria, known: Known) -> bool:
    """Whether a permitted technique needs no export."""
    return any(known.exporter(spec.name) is None for spec in known.permitted(criteria))


def _without(
    criteria: Criteria, spec: TechniqueSpec, code: str, severity: Severity = Severity.CONTRADICTION, *fields: str
) -> Conflicting:
    """A conflict about `spec` that is resolved by not asking for it."""
    title = not_asked_title(criteria, spec.name, spec.label)
    building = Conflicting(code, severity, *fields_that_ask(criteria, spec.name), *fields, subject=spec.name)
    return building.resolved("do-without", title, **not_asked_for(criteria, spec.name))


def _device(device: Device) -> str:
    return "a GPU (CUDA)" if device is Device.CUDA else "the CPU"
