"""Between a step's row and its child: every handler is there, and files stay where they belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.errors.steps import StepKilled, StepOutOfMemory
from apps.agents.contracts.job import Job, JobFailure, JobResult, OutputFile
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.contracts.state import StepKind
from apps.agents.sandbox.child import handler_of
from apps.models import inspection
from apps.optimization import jobs
from apps.optimization.models import OptimizationSession, PipelineSettings, SessionStep
from apps.optimization.recipe import recipe_of

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("kind", StepKind)
def test_every_kind_of_step_has_its_handler(kind: StepKind, tmp_path: Path) -> None:
    assert callable(handler_of(Job(handler=jobs.HANDLERS[kind], scratch=tmp_path)))


def result(*files: tuple[str, str]) -> JobResult:
    return JobResult(body={}, files=tuple(OutputFile(role=role, path=path, filename="f") for role, path in files))


def test_the_artifact_is_found_by_its_role(tmp_path: Path) -> None:
    job = Job(handler="m:f", scratch=tmp_path)
    assert jobs.artifact_of(job, result()) is None
    kept = jobs.artifact_of(job, result(("notes", "out/notes.txt"), ("artifact", "out/model.onnx")))
    assert kept == jobs.Artifact(tmp_path.resolve() / "out/model.onnx", "f")


@pytest.mark.parametrize("path", ["../stranger.onnx", "/etc/passwd"])
def test_a_file_outside_the_scratch_folder_is_never_kept(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="outside its scratch folder"):
        jobs.artifact_of(Job(handler="m:f", scratch=tmp_path), result(("artifact", path)))


def test_only_lack_of_memory_makes_batches_smaller() -> None:
    out_of_memory, killed = StepOutOfMemory(reason="it is large"), StepKilled(signal="SIGKILL")
    for error, halves in ((out_of_memory, True), (killed, False)):
        failure = JobFailure(code=error.code, message=error.message, expected=True, transient=True)
        assert jobs.ran_out_of_memory(failure) is halves


def test_operators_limits_reach_the_child() -> None:
    limits = jobs.limits(PipelineSettings(step_time_limit_minutes=2, step_memory_limit_bytes=2**30))
    assert (limits.time_s, limits.memory_bytes) == (120.0, 2**30)


@pytest.mark.django_db
@pytest.mark.parametrize(("machine", "admin"), [(2**29, 2**30), (2**30, 2**29)])
def test_the_smaller_limit_of_memory_holds_for_steps_and_checks(settings: Any, machine: int, admin: int) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, step_memory_bytes=machine)
    PipelineSettings.current()
    PipelineSettings.objects.update(step_memory_limit_bytes=admin)
    assert jobs.limits(PipelineSettings.current()).memory_bytes == 2**29
    assert inspection._limits().memory_bytes == 2**29


@pytest.mark.django_db
def test_a_recipe_can_be_read_by_what_follows_it(session: OptimizationSession) -> None:
    recipe = Recipe.model_validate_json(recipe_of(session).model_dump_json())
    assert (recipe.seed, recipe.steps, recipe.original.sha256) == (7, (), session.version.blob_id)


@pytest.mark.django_db
@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("kind", "cores", "wait_s"),
    [
        (StepKind.ANALYSE, (2, 3), None),
        (StepKind.EVALUATE, (2, 3), 5.0),
        (StepKind.OPTIMIZE, (), None),
    ],
)
def test_steps_that_measure_get_cores_of_their_own_and_may_wait_for_quiet(
    settings: Any,
    tmp_path: Path,
    start: Callable[..., OptimizationSession],
    kind: StepKind,
    cores: tuple[int, ...],
    wait_s: float | None,
) -> None:
    settings.LATHE = dataclasses.replace(settings.LATHE, cores=(2, 3), quiet_wait_s=20, timing_s=7)
    session = start(criteria=Criteria(budget=Budget(minutes=10.0, candidates=12)))
    step = SessionStep.objects.create(session=session, key="one", kind=kind, technique="onnx-static-int8")
    with jobs.prepared(step, tmp_path) as job:
        assert job.cores == cores
        assert job.arguments.get("quiet_wait_s") == wait_s
        assert job.arguments.get("timing_s") == (7 if kind == StepKind.EVALUATE else None)
