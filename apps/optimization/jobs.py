"""Turns a step's row into a `Job` for the child, and the child's files into stored ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings as environment

from apps.agents.contracts.chain import COMPARED, MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.errors.steps import StepOutOfMemory
from apps.agents.contracts.job import Job, JobFailure, JobResult
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.searching import SUPERNET
from apps.agents.contracts.state import Status, StepKind
from apps.agents.contracts.step_jobs import HANDLERS, StepFacts, job_for
from apps.agents.files import answers_file
from apps.agents.measuring.scheduling.quiet import affordable_wait_s
from apps.agents.sandbox.process import Limits
from apps.models.errors import StoreFileMissing
from apps.models.models import Blob
from apps.models.storage import local_path
from apps.optimization import checkpoints, signing, trials
from apps.optimization.lineage import (
    exported_analyses,
    format_of,
    further_formats,
    input_format,
    reading_of,
    signature_of,
)
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.rendering import report_html
from apps.optimization.room import room_for
from apps.optimization.services.card import card_of
from apps.optimization.services.report import report
from apps.optimization.snapshot import request_of

ARTIFACT_ROLES = ("artifact", "package")


class Artifact(NamedTuple):
    path: Path
    filename: str


@contextmanager
def prepared(step: SessionStep, folder: Path) -> Iterator[Job]:
    """The job of `step`, working in `folder`. Its input files stay in place within the context."""
    blobs = _blobs(step)
    with ExitStack() as files:
        inputs = {role: files.enter_context(local_path(blob)) for role, blob in blobs.items()}
        if step.kind == StepKind.PACKAGE:
            inputs |= _documents(step, folder)
        yield checkpoints.ready(step, job_of(step, folder, inputs), blobs, files)


def job_of(step: SessionStep, folder: Path, inputs: Mapping[str, Path]) -> Job:
    """The job of `step` on files that are at hand."""
    return job_for(request_of(step), _facts(step), scratch=folder, inputs=inputs, handlers=HANDLERS)


def _blobs(step: SessionStep) -> dict[str, Blob]:
    """The stored files that the step reads, by role."""
    if step.kind in (StepKind.PLAN, StepKind.REFINE):
        return {}
    session = step.session
    original = session.version.blob
    parents = {MODEL: ORIGINAL, **step.parents}
    models = {role: _blob_of(session, key) for role, key in parents.items()}
    if (supernet := trials.supernet_for(step)) is not None:
        models[SUPERNET] = supernet
    return {**models, ORIGINAL: original, "dataset": session.dataset.blob}


def _blob_of(session: OptimizationSession, key: str) -> Blob:
    """The original, the student, the compared version, or what the step called `key` has made. Raises
    `StoreFileMissing`.
    """
    if key == ORIGINAL:
        return session.version.blob
    if key == STUDENT and session.student is not None:
        return session.student.blob
    if key == COMPARED and session.compared is not None:
        return session.compared.blob
    parent = session.steps.select_related("artifact").get(key=key)
    if parent.artifact is None:
        raise StoreFileMissing(name=f"the step {parent.key}")
    return parent.artifact


def _facts(step: SessionStep) -> StepFacts:
    """What is known of the session, and what only this kind of step needs."""
    session = step.session
    facts: dict[str, Any] = {
        "seed": session.seed,
        "threads": session.criteria.target.threads,
        "measuring_cores": environment.LATHE.cores,
        "original_format": format_of(session.version),
        "format": input_format(step),
        "inputs": further_formats(step),
        "signature": signature_of(session.version),
        "original_interface": _original_interface(session),
        "own_signature": _own_signature(step),
        "criteria": session.criteria,
        "dataset": reading_of(session),
        "batch_divisor": step.batch_divisor,
    }
    match StepKind(step.kind):
        case StepKind.PLAN:
            facts |= {"analysis": session.analysis.body, "exported": exported_analyses(session)}
            facts["data"] = session.dataset.described
            facts["workers"] = room_for(session.criteria.target.device)
            facts["student"] = session.student.metadata.summary if session.student else None
        case StepKind.EVALUATE:
            facts |= {"quiet_wait_s": _quiet_wait_s(session), "timing_s": environment.LATHE.timing_s}
            facts |= {"predicted_speedup": _predicted_speedup(step), "original_memory": _original_memory(session)}
            facts |= {"outcomes": _outcomes(session)} if _judges(step) else {}
        case StepKind.OPTIMIZE | StepKind.TRIALS:
            facts |= trials.facts_of(step)
        case StepKind.PACKAGE:
            facts |= {"filename": _artifact_filename(step), "summary": _summary_of_parent(step)}
    return StepFacts.model_validate(facts)


def _own_signature(step: SessionStep) -> str | None:
    """The signature of the compared version, if `step` measures it."""
    compared = step.session.compared
    return signature_of(compared) if compared is not None and step.parent_key == COMPARED else None


def _judges(step: SessionStep) -> bool:
    """Whether the step judges a finalist, on examples that played no part in the choice."""
    return step.parameters.get("part") == Part.EVALUATION


def _outcomes(session: OptimizationSession) -> dict[str, dict[str, Any]]:
    """The outcome of each example for every measured candidate, by part and by key."""
    found: dict[str, dict[str, Any]] = {part: {} for part in Part}
    for step in session.steps.filter(kind=StepKind.EVALUATE, status=Status.COMPLETED).order_by("pk"):
        found[step.result.get("part", Part.EVALUATION)][step.candidate_key] = step.result.get("outcomes")
    return found


def _quiet_wait_s(session: OptimizationSession) -> float:
    """How long one measurement of the session may wait for a quiet machine, in seconds."""
    budget = session.criteria.budget
    return affordable_wait_s(environment.LATHE.quiet_wait_s, budget.minutes, budget.candidates)


def _original_interface(session: OptimizationSession) -> dict[str, Any] | None:
    """What the original takes and gives, as the analysis found it; `None` before the analysis."""
    if not hasattr(session, "analysis"):
        return None
    found = session.analysis.body["model"]
    return {"inputs": found["inputs"], "outputs": found["outputs"]}


def _original_memory(session: OptimizationSession) -> dict[str, Any] | None:
    """The original's peak memory, as the analysis measured it."""
    if not hasattr(session, "analysis"):
        return None
    found = session.analysis.body
    return {
        "peak_bytes": found["peak_memory_bytes"],
        "batch_size": found["latency"]["batch_size"],
        "hostname": found["machine"]["hostname"],
    }


def _predicted_speedup(step: SessionStep) -> float | None:
    """The plan's expectation for the step's candidate."""
    candidate = step.session.candidates.filter(key=step.candidate_key).first()
    return candidate.predicted["speedup"] if candidate and candidate.predicted else None


def _summary_of_parent(step: SessionStep) -> dict[str, Any] | None:
    """The summary of the parent step's model, or of the original."""
    if not step.parent_key:
        return step.session.version.metadata.summary.model_dump(mode="json")
    known: dict[str, Any] | None = step.session.steps.get(key=step.parent_key).result.get("model")
    return known


def _artifact_filename(step: SessionStep) -> str:
    """The name of the packaged model: the winner's, or the original's own."""
    parent = step.session.steps.filter(key=step.parent_key).first() if step.parent_key else None
    return parent.artifact_filename if parent else step.session.version.filename


def _documents(step: SessionStep, folder: Path) -> dict[str, Path]:
    """Writes report, recipe and card of what the package step delivers to files that the child reads."""
    session = step.session
    place = folder / "documents"
    place.mkdir()
    finding, recipe = report(session, step), recipe_of(session, step)
    card = card_of(session, finding, step, signing.key_digest())
    texts = {
        "report_json": ("report.json", finding.model_dump_json(indent=2)),
        "report_html": ("report.html", report_html(finding)),
        "recipe": (
            "recipe.json",
            json.dumps(recipe.model_dump(mode="json"), indent=2, sort_keys=True),
        ),
        "card": ("card.json", card.model_dump_json()),
    }
    paths = {}
    for role, (name, text) in texts.items():
        paths[role] = place / name
        paths[role].write_text(text)
    return paths


def limits(settings: PipelineSettings) -> Limits:
    """The operators' limits for a child. The memory limit never exceeds this machine's environment setting."""
    memory_bytes = min(settings.step_memory_limit_bytes, environment.LATHE.step_memory_bytes)
    return Limits(
        memory_bytes=memory_bytes,
        time_s=60.0 * settings.step_time_limit_minutes,
        file_bytes=environment.LATHE.largest_step_file_bytes,
        sandbox=environment.LATHE.sandbox,
    )


def artifact_of(job: Job, result: JobResult) -> Artifact | None:
    """The file to store, if the job made one."""
    kept = [file for file in result.files if file.role in ARTIFACT_ROLES]
    if not kept:
        return None
    return Artifact(job.file(kept[0].path), kept[0].filename)


def answers_of(job: Job, result: JobResult) -> Path | None:
    """The file of both models' answers, if the job wrote one. It is read once, so that only what pages can show is
    stored.
    """
    kept = next((job.file(file.path) for file in result.files if file.role == answers_file.ROLE), None)
    if kept is not None:
        answers_file.read_answers(kept)
        answers_file.read_ran(kept)
    return kept


def ran_out_of_memory(failure: JobFailure) -> bool:
    return failure.code == StepOutOfMemory.code
