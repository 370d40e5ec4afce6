"""How to make the winning artifact again: the steps that led to it, with parameters, seeds, digests and versions."""

from __future__ import annotations

from typing import Any

from apps.agents.state import StepKind
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.report import verdict_of

RECIPE_VERSION = 1


def recipe_of(session: OptimizationSession) -> dict[str, Any]:
    """Plain JSON. `steps` run in order, each on the artifact of the one before, the first on the original."""
    verdict = verdict_of(session)
    chain = _chain(session, verdict.candidate) if verdict and verdict.candidate else []
    return {
        "recipe_version": RECIPE_VERSION,
        "session": str(session.pk),
        "seed": session.seed,
        "criteria": session.criteria_body,
        "original": {
            "filename": session.version.filename,
            "sha256": session.version.blob_id,
            "size_bytes": session.version.blob.size_bytes,
        },
        "dataset": {
            "name": session.dataset.name,
            "filename": session.dataset.filename,
            "sha256": session.dataset.blob_id,
            "spec": session.dataset.spec,
        },
        "steps": [_step(step) for step in chain],
        "artifact": _artifact(chain[-1]) if chain else None,
        "machine": session.analysis.body["machine"] if hasattr(session, "analysis") else None,
        "verdict": verdict.model_dump(mode="json") if verdict else None,
    }


def _chain(session: OptimizationSession, candidate: str) -> list[SessionStep]:
    """The optimize steps from the original to the candidate's artifact, the first one first."""
    made = session.steps.filter(kind=StepKind.OPTIMIZE, artifact__isnull=False).select_related("artifact")
    by_key = {step.key: step for step in made}
    step = next((one for one in by_key.values() if one.candidate_key == candidate), None)
    chain: list[SessionStep] = []
    while step is not None:
        chain.append(step)
        step = by_key.get(step.parent_key)
    return chain[::-1]


def _step(step: SessionStep) -> dict[str, Any]:
    return {
        "key": step.key,
        "technique": step.technique,
        # Complete, as the step was made: a recipe must not change its meaning when a default does.
        "parameters": step.result["parameters"],
        "libraries": step.result.get("libraries", {}),
        "seed": step.result.get("seed", step.session.seed),
        "batch_divisor": step.batch_divisor,
        "made": _artifact(step),
    }


def _artifact(step: SessionStep) -> dict[str, Any] | None:
    if step.artifact is None:
        return None
    return {
        "filename": step.artifact_filename,
        "sha256": step.artifact.sha256,
        "size_bytes": step.artifact.size_bytes,
    }
