"""From a step's row to a `Job` for the child, and from the child's files back to what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings as environment

from apps.agents.contracts.errors.steps import StepOutOfMemory
from apps.agents.contracts.job import Job, JobFailure, JobResult
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import Closing, Status, StepKind
from apps.agents.measuring.scheduling.quiet import affordable_wait_s
from apps.agents.sandbox.process import Limits
from apps.models.errors import StoreFileMissing
from apps.models.models import Blob
from apps.models.storage import local_path
from apps.optimization.lineage import exported_analyses, format_of, input_format, reading_of, signature_of
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.rendering import report_html
from apps.optimization.services.report import report

HANDLERS: dict[StepKind, str] = {
    StepKind.ANALYSE: "apps.agents.handlers.analysis:analyse",
    StepKind.PLAN: "apps.agents.handlers.plan:run",
    StepKind.OPTIMIZE: "apps.agents.handlers.optimize:run",
    StepKind.EVALUATE: "apps.agents.handlers.evaluate:run",
    StepKind.PACKAGE: "apps.agents.handlers.package:run",
}
"""What the child runs for each kind of step."""

MEASURING = (StepKind.ANALYSE, StepKind.EVALUATE)
"""Kinds that time something: they get the cores that are kept for it, and may wait for a quiet moment."""
ARTIFACT_ROLES = ("artifact", "package")


class Artifact(NamedTuple):
    path: Path
    filename: str


@contextmanager
def prepared(step: SessionStep, folder: Path) -> Iterator[Job]:
    """The job of `step`, working in `folder`; its input files stay in place while the context lasts."""
    session = step.session
    with ExitStack() as files:
        inputs = {role: files.enter_context(local_path(blob)) for role, blob in _blobs(step).items()}
        if step.kind == StepKind.PACKAGE:
            inputs |= _documents(session, folder)
        yield Job(
            handler=HANDLERS[StepKind(step.kind)],
            scratch=folder,
            inputs=inputs,
            arguments=_arguments(step),
            seed=session.seed,
            threads=session.criteria.target.threads,
            cores=environment.LATHE.cores if step.kind in MEASURING else (),
        )


def _blobs(step: SessionStep) -> dict[str, Blob]:
    """The stored files that this kind of step reads, by role."""
    if step.kind == StepKind.PLAN:
        return {}
    session = step.session
    original = session.version.blob
    return {"original": original, "model": _parent_artifact(step) or original, "dataset": session.dataset.blob}


def _parent_artifact(step: SessionStep) -> Blob | None:
    """What the parent step made; `None` where the step starts from the original."""
    if not step.parent_key:
        return None
    parent = step.session.steps.select_related("artifact").get(key=step.parent_key)
    if parent.artifact is None:
        raise StoreFileMissing(name=f"the step {parent.key}")
    return parent.artifact


def _arguments(step: SessionStep) -> dict[str, Any]:
    """Plain JSON for the handler; each documents what it reads."""
    session = step.session
    formats = {"original_format": format_of(session.version), "format": input_format(step)}
    common = {"criteria": session.criteria_body, **formats, **signature_of(session.version)}
    divisor = {"batch_divisor": step.batch_divisor} if step.batch_divisor > 1 else {}
    measured = {**common, **divisor, "dataset": reading_of(session)}
    if step.kind in MEASURING:
        measured["quiet_wait_s"] = _quiet_wait_s(session)
    match StepKind(step.kind):
        case StepKind.ANALYSE:
            return measured
        case StepKind.PLAN:
            known = {"analysis": session.analysis.body, "dataset": session.dataset.summary}
            return {**common, **known, "exported": exported_analyses(session), **step.parameters}
        case StepKind.OPTIMIZE:
            return {**measured, "technique": step.technique, "parameters": step.parameters}
        case StepKind.EVALUATE:
            judged = {"candidate": step.candidate_key, "outcomes": _outcomes(session)} if _judges(step) else {}
            return {**measured, "technique": step.technique, **_predicted(step), **step.parameters, **judged}
        case StepKind.PACKAGE:
            packed = {"filename": _artifact_filename(step), "summary": _summary_of_parent(step)}
            closing = Closing.model_validate(step.parameters)
            verdict, untried = closing.verdict, closing.untried
            headline = {"headline": verdict.headline.sentence} if verdict.headline else {}
            return {**measured, **packed, **headline, "outcome": verdict.outcome, "untried": untried}


def _judges(step: SessionStep) -> bool:
    """Whether the step judges a finalist, on examples that nobody has chosen by."""
    return step.parameters.get("part") == Part.EVALUATION


def _outcomes(session: OptimizationSession) -> dict[str, dict[str, Any]]:
    """What every candidate that was measured made of each example, by part and by its key."""
    found: dict[str, dict[str, Any]] = {part: {} for part in Part}
    for step in session.steps.filter(kind=StepKind.EVALUATE, status=Status.COMPLETED).order_by("pk"):
        found[step.result.get("part", Part.EVALUATION)][step.candidate_key] = step.result.get("outcomes")
    return found


def _quiet_wait_s(session: OptimizationSession) -> float:
    """How long one measurement of the session may wait for a quiet machine, in seconds."""
    budget = session.criteria.budget
    return affordable_wait_s(environment.LATHE.quiet_wait_s, budget.minutes, budget.candidates)


def _predicted(step: SessionStep) -> dict[str, Any]:
    """What the plan expects of the step's candidate."""
    candidate = step.session.candidates.filter(key=step.candidate_key).first()
    return {"predicted_speedup": candidate.predicted["speedup"]} if candidate and candidate.predicted else {}


def _summary_of_parent(step: SessionStep) -> dict[str, Any] | None:
    """What is known of the model that the parent step made, or of the original."""
    if not step.parent_key:
        return step.session.version.metadata.summary.model_dump(mode="json")
    known: dict[str, Any] | None = step.session.steps.get(key=step.parent_key).result.get("model")
    return known


def _artifact_filename(step: SessionStep) -> str:
    """The name that the packaged model gets: the winner's, else the original's own."""
    parent = step.session.steps.filter(key=step.parent_key).first() if step.parent_key else None
    return parent.artifact_filename if parent else step.session.version.filename


def _documents(session: OptimizationSession, folder: Path) -> dict[str, Path]:
    """Report and recipe, written where the child reads them."""
    place = folder / "documents"
    place.mkdir()
    finding = report(session)
    texts = {
        "report_json": ("report.json", finding.model_dump_json(indent=2)),
        "report_html": ("report.html", report_html(finding)),
        "recipe": ("recipe.json", json.dumps(recipe_of(session).model_dump(mode="json"), indent=2, sort_keys=True)),
    }
    paths = {}
    for role, (name, text) in texts.items():
        paths[role] = place / name
        paths[role].write_text(text)
    return paths


def limits(settings: PipelineSettings) -> Limits:
    """What the operators allow a child: of memory, no more than this machine's environment says."""
    memory_bytes = min(settings.step_memory_limit_bytes, environment.LATHE.step_memory_bytes)
    return Limits(memory_bytes=memory_bytes, time_s=60.0 * settings.step_time_limit_minutes)


def artifact_of(job: Job, result: JobResult) -> Artifact | None:
    """The file to keep, where the job made one."""
    kept = [file for file in result.files if file.role in ARTIFACT_ROLES]
    if not kept:
        return None
    path = (job.scratch / kept[0].path).resolve()
    if not path.is_relative_to(job.scratch.resolve()):
        raise ValueError(f"the handler {job.handler} names a file outside its scratch folder: {kept[0].path!r}")
    return Artifact(path, kept[0].filename)


def ran_out_of_memory(failure: JobFailure) -> bool:
    return failure.code == StepOutOfMemory.code
