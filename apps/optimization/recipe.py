"""The recipe of the winning artifact: the steps that led to it, with parameters, seeds, digests and versions."""

from __future__ import annotations

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.recipe import DatasetRecord, FileRecord, OriginalRecord, Recipe, RecipeStep
from apps.optimization.lineage import chain_to, format_of, makers, reading_of, signature_of
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.report import verdict_of


def recipe_of(session: OptimizationSession) -> Recipe:
    """What made the chosen artifact; without steps where the original is kept."""
    verdict = verdict_of(session)
    chain = _chain(session, verdict.candidate) if verdict and verdict.candidate else []
    original, dataset = session.version, session.dataset
    return Recipe(
        session=str(session.pk),
        seed=session.seed,
        criteria=session.criteria_body,
        original=OriginalRecord(
            filename=original.filename,
            sha256=original.blob_id,
            size_bytes=original.blob.size_bytes,
            format=format_of(original),
            signature=signature_of(original),
        ),
        dataset=DatasetRecord(
            name=dataset.name,
            filename=dataset.filename,
            sha256=dataset.blob_id,
            spec=DatasetSpec.model_validate(reading_of(session)),
        ),
        steps=tuple(_step(step) for step in chain),
        artifact=_artifact(chain[-1]) if chain else None,
        machine=session.analysis.body["machine"] if hasattr(session, "analysis") else None,
        verdict=verdict.model_dump(mode="json") if verdict else None,
    )


def _chain(session: OptimizationSession, candidate: str) -> list[SessionStep]:
    """The optimize steps from the original to the candidate's artifact, the first one first."""
    maker = makers(session).get(candidate)
    return chain_to(session, maker.key) if maker else []


def _step(step: SessionStep) -> RecipeStep:
    return RecipeStep(
        key=step.key,
        technique=step.technique,
        # All parameters, as the step used them: a recipe must not change its meaning when a default changes.
        parameters=step.result["parameters"],
        libraries=step.result.get("libraries", {}),
        seed=step.result.get("seed", step.session.seed),
        batch_divisor=step.batch_divisor,
        made=_artifact(step),
    )


def _artifact(step: SessionStep) -> FileRecord | None:
    if step.artifact is None:
        return None
    return FileRecord(filename=step.artifact_filename, sha256=step.artifact.sha256, size_bytes=step.artifact.size_bytes)
