"""The recipe of the winning artifact: the steps that led to it, with parameters, seeds, digests and versions."""

from __future__ import annotations

from apps.agents.contracts.chain import MODEL, ORIGINAL
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.recipe import DatasetRecord, FileRecord, OriginalRecord, Recipe, RecipeStep
from apps.optimization.lineage import Lineage, format_of, reading_of, signature_of
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.report import verdict_of


def recipe_of(session: OptimizationSession) -> Recipe:
    """What made the chosen artifact; without steps where the original is kept."""
    verdict = verdict_of(session)
    steps = _steps(session, verdict.candidate) if verdict and verdict.candidate else []
    original, dataset = session.version, session.dataset
    return Recipe(
        recipe_version=2 if any(step.inputs for step in steps) else 1,
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
        steps=tuple(steps),
        artifact=steps[-1].made if steps else None,
        machine=session.analysis.body["machine"] if hasattr(session, "analysis") else None,
        verdict=verdict.model_dump(mode="json") if verdict else None,
    )


def _steps(session: OptimizationSession, candidate: str) -> list[RecipeStep]:
    """The optimize steps from the original to the candidate's artifact, in an order in which they can be followed."""
    lineage = Lineage(session)
    maker = lineage.makers.get(candidate)
    sources = lineage.sources(maker.key) if maker else []
    named = any(one.further_parents for one in sources)
    return [_step(one, {MODEL: ORIGINAL, **one.parents} if named else {}) for one in sources]


def _step(step: SessionStep, inputs: dict[str, str]) -> RecipeStep:
    return RecipeStep(
        technique=step.technique,
        # All parameters, as the step used them: a recipe must not change its meaning when a default changes.
        parameters=step.result["parameters"],
        libraries=step.result.get("libraries", {}),
        seed=step.result.get("seed", step.session.seed),
        batch_divisor=step.batch_divisor,
        made=_made_by(step),
        key=step.key,
        inputs=inputs,
    )


def _made_by(step: SessionStep) -> FileRecord:
    """What the step made, whether the file is still kept or not."""
    digest, size_bytes = step.result["digest"], step.result["size_bytes"]
    if step.artifact is not None:
        digest, size_bytes = step.artifact.sha256, step.artifact.size_bytes
    return FileRecord(filename=step.artifact_filename, sha256=digest, size_bytes=size_bytes)
