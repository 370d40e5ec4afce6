"""Lineage: the steps that led to an artifact, and its format."""

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
    """The argument that names the original's signature, if its format supports several; otherwise empty."""
    signature = version.metadata.body["signature"]
    return {"signature": signature} if signature else {}


def reading_of(session: OptimizationSession) -> dict[str, Any]:
    """How to read the session's data set: the member's spec, with the batch axes that the analysis found."""
    spec = DatasetSpec.model_validate(session.dataset.spec)
    found = session.analysis.body.get("batch_axes") if hasattr(session, "analysis") else None
    return spec.laid_out(found or {}).model_dump(mode="json")


def chain_to(session: OptimizationSession, key: str) -> list[SessionStep]:
    """The optimize steps from the original to the one called `key`, in order; empty for the original."""
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

    This is the candidate's own optimize step, or the export step whose artifact was evaluated as this candidate.
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
    """The bodies of the analyses of the original's exports, in the order in which they were requested."""
    steps = session.steps.filter(kind=StepKind.ANALYSE, status=Status.COMPLETED).exclude(parent_key="")
    return [step.result for step in steps.order_by("pk")]


def runtime_of_original(version: ModelVersion) -> str:
    return runtime_of(format_of(version))


def runtime_of_candidate(version: ModelVersion, technique: str) -> str:
    """The runtime of a candidate of `technique`: another one after an export, otherwise the original's."""
    return runtime_of(format_of_candidate(format_of(version), technique))
