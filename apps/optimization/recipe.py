"""The recipe of the winning artifact: the steps that led to it, with parameters, seeds, digests and versions."""

from __future__ import annotations

from typing import Any

from apps.optimization.lineage import chain_to, format_of, makers, reading_of, signature_of
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.report import verdict_of

RECIPE_VERSION = 1


def recipe_of(session: OptimizationSession) -> dict[str, Any]:
    """The recipe as plain JSON. `steps` run in order, each on the previous step's artifact, the first on
    the original.
    """
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
            "format": format_of(session.version),
            **signature_of(session.version),
        },
        "dataset": {
            "name": session.dataset.name,
            "filename": session.dataset.filename,
            "sha256": session.dataset.blob_id,
            "spec": reading_of(session),
        },
        "steps": [_step(step) for step in chain],
        "artifact": _artifact(chain[-1]) if chain else None,
        "machine": session.analysis.body["machine"] if hasattr(session, "analysis") else None,
        "verdict": verdict.model_dump(mode="json") if verdict else None,
    }


def _chain(session: OptimizationSession, candidate: str) -> list[SessionStep]:
    """The optimize steps from the original to the candidate's artifact, the first one first."""
    maker = makers(session).get(candidate)
    return chain_to(session, maker.key) if maker else []


def _step(step: SessionStep) -> dict[str, Any]:
    return {
        "key": step.key,
        "technique": step.technique,
        # All parameters, as the step used them: a recipe must not change its meaning when a default changes.
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
