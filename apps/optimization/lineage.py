"""What came from what: the steps that led to an artifact, and the format it has."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.state import Status, StepKind
from apps.agents.techniques.artifact_format import format_after, format_of_candidate, runtime_of
from apps.models.models import ModelVersion
from apps.optimization.models import OptimizationSession, SessionStep


def format_of(version: ModelVersion) -> str:
    """The original's format."""
    return str(version.metadata.format)


def signature_of(version: ModelVersion) -> dict[str, str]:
    """The argument that names the original's function, where its format has room for several; else nothing."""
    signature = version.metadata.signature
    return {"signature": signature} if signature else {}


def reading_of(session: OptimizationSession) -> dict[str, Any]:
    """How the session's data set is read: as its member said, with the axes of examples that the analysis has found."""
    spec = DatasetSpec.model_validate(session.dataset.spec)
    found = session.analysis.body.get("batch_axes") if hasattr(session, "analysis") else None
    return spec.laid_out(found or {}).model_dump(mode="json")


def chain_to(session: OptimizationSession, key: str) -> list[SessionStep]:
    """The optimize steps from the original to the one called `key`, the first one first; empty for the original."""
    made = session.steps.filter(kind=StepKind.OPTIMIZE, artifact__isnull=False).select_related("artifact")
    by_key = {step.key: step for step in made}
    step = by_key.get(key)
    chain: list[SessionStep] = []
    while step is not None:
        chain.append(step)
        step = by_key.get(step.parent_key)
    return chain[::-1]


def input_format(step: SessionStep) -> str:
    """The format of the model that `step` starts from."""
    techniques = [one.technique for one in chain_to(step.session, step.parent_key)]
    return format_after(format_of(step.session.version), techniques)


def makers(session: OptimizationSession) -> dict[str, SessionStep]:
    """The step that made each candidate's artifact, by the candidate's key.

    A candidate's own optimize step, or the one whose artifact was evaluated as it: the export is made before the plan.
    """
    steps = list(session.steps.select_related("artifact"))
    by_key = {step.key: step for step in steps}
    found = {
        step.candidate_key: by_key[step.parent_key]
        for step in steps
        if step.kind == StepKind.EVALUATE and step.candidate_key and step.parent_key in by_key
    }
    found |= {step.candidate_key: step for step in steps if step.kind == StepKind.OPTIMIZE and step.candidate_key}
    return {key: step for key, step in found.items() if step.artifact is not None}


def exported_analyses(session: OptimizationSession) -> list[dict[str, Any]]:
    """The bodies of the analyses of what the original was exported to, in the order in which they were asked for."""
    steps = session.steps.filter(kind=StepKind.ANALYSE, status=Status.COMPLETED).exclude(parent_key="")
    return [step.result for step in steps.order_by("pk")]


def runtime_of_original(version: ModelVersion) -> str:
    return runtime_of(format_of(version))


def runtime_of_candidate(version: ModelVersion, technique: str) -> str:
    """What runs a candidate of `technique`: another runtime after an export, else what runs the original."""
    return runtime_of(format_of_candidate(format_of(version), technique))
