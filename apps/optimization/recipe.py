"""Recipes of artifacts: the steps that led to one, with parameters, seeds, digests and versions."""

from __future__ import annotations

from apps.agents.contracts.chain import MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.recipe import (
    DatasetRecord,
    FileRecord,
    OriginalRecord,
    Recipe,
    RecipeStep,
    StudentRecord,
)
from apps.agents.contracts.state import Verdict
from apps.optimization.errors.results import NoRecipe
from apps.optimization.lineage import Lineage, format_of, reading_of, signature_of
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.services.report import verdict_of


def recipe_of(session: OptimizationSession, packaging: SessionStep | None = None) -> Recipe:
    """What made the artifact that the session, or its package step `packaging`, delivers; without steps where the
    original is kept."""
    verdict, lineage = verdict_of(session, packaging), Lineage(session)
    maker = lineage.makers.get(verdict.candidate) if verdict and verdict.candidate else None
    return _recipe(session, lineage.sources(maker.key) if maker else [], verdict)


def recipe_of_step(session: OptimizationSession, key: str) -> Recipe:
    """What the step called `key` made, whether its file is still kept or not. Raises `NoRecipe`."""
    sources = Lineage(session).sources(key)
    if not sources or any("parameters" not in step.result for step in sources):
        raise NoRecipe(step=key)
    return _recipe(session, sources)


def recipe_for(session: OptimizationSession, step: str | None) -> Recipe:
    """That of what `step` made, or of the chosen artifact where no step is named. Raises `NoRecipe`."""
    return recipe_of(session) if step is None else recipe_of_step(session, step)


def _recipe(session: OptimizationSession, sources: list[SessionStep], verdict: Verdict | None = None) -> Recipe:
    """The recipe of what the last of `sources` made, which are in an order in which they can be followed."""
    named = any(one.further_parents for one in sources)
    steps = [_step(one, {MODEL: ORIGINAL, **one.parents} if named else {}) for one in sources]
    original, dataset = session.version, session.dataset
    return Recipe(
        recipe_version=2 if named else 1,
        session=str(session.pk),
        seed=session.seed,
        criteria=session.criteria_body,
        edits=session.edits_body,
        original=OriginalRecord(
            filename=original.filename,
            sha256=original.blob_id,
            size_bytes=original.blob.size_bytes,
            format=format_of(original),
            signature=signature_of(original),
        ),
        student=_student(session) if any(STUDENT in one.further_parents.values() for one in sources) else None,
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


def _student(session: OptimizationSession) -> StudentRecord | None:
    if (given := session.student) is None:
        return None
    size_bytes = given.blob.size_bytes
    return StudentRecord(filename=given.filename, sha256=given.blob_id, size_bytes=size_bytes, format=format_of(given))


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
