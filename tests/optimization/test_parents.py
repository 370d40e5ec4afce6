"""A step that reads more than one model: a student with its teacher, from the plan to the recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.agents.contracts.chain import MODEL, ORIGINAL
from apps.agents.contracts.state import StepKind
from apps.models.storage import open_blob
from apps.optimization import jobs, pipeline, runner, services
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.snapshot import request_of
from tests.optimization.standing import standing_with_a_teacher

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def finished(django_db_setup: None, django_db_blocker: Any) -> Iterator[OptimizationSession]:
    with standing_with_a_teacher(django_db_blocker.unblock) as session:
        yield session


@pytest.fixture
def engineer(finished: OptimizationSession) -> User:
    return finished.created_by


def made_by(session: OptimizationSession, technique: str) -> SessionStep:
    return session.steps.get(kind=StepKind.OPTIMIZE, technique=technique)


def test_what_a_link_reads_beside_the_model_is_made_first_and_reaches_its_job(finished: OptimizationSession) -> None:
    teacher, student = made_by(finished, "onnx-float16"), made_by(finished, "onnx-graph")
    last = finished.steps.get(key="c01/optimize")

    assert last.parents == {MODEL: student.key, "teacher": teacher.key, "assistant": ORIGINAL}
    assert (teacher.candidate_key, teacher.parents) == ("", {})
    assert last.artifact is not None
    with open_blob(last.artifact) as file:
        made = file.read()
    assert made.index(b">onnx-graph") < made.index(b">onnx-dynamic-int8"), "the model is what the link before made"
    assert b"|teacher(onnx)=b'" in made
    assert b">onnx-float16'" in made, "the teacher is what float16 made"
    assert b"|assistant(onnx)=" in made


def test_a_row_and_its_request_name_the_same_parents(finished: OptimizationSession) -> None:
    last = finished.steps.get(key="c01/optimize")
    assert request_of(last).parents == last.parents
    assert request_of(last).parent == last.parent_key == made_by(finished, "onnx-graph").key


def test_asking_again_makes_no_further_steps(finished: OptimizationSession) -> None:
    assert finished.steps.filter(kind=StepKind.OPTIMIZE).count() == 3


def test_a_step_waits_while_any_of_its_inputs_is_made_again(finished: OptimizationSession) -> None:
    last, teacher = finished.steps.get(key="c01/optimize"), made_by(finished, "onnx-float16")
    assert not runner._waits_for_its_input(last)
    assert teacher.start_over()
    assert runner._waits_for_its_input(last)


def test_a_further_input_whose_file_is_lost_is_told_of_by_its_step(finished: OptimizationSession) -> None:
    teacher, student = made_by(finished, "onnx-float16"), made_by(finished, "onnx-graph")
    SessionStep.objects.filter(pk=student.pk).update(artifact=finished.version.blob)
    assert teacher.artifact is None
    with pytest.raises(jobs.StoreFileMissing, match=teacher.key):
        jobs._blobs(finished.steps.get(key="c01/optimize"))


def test_the_recipe_lists_every_model_that_was_read_before_it_is_read(finished: OptimizationSession) -> None:
    recipe = recipe_of(finished)
    place = {step.key: number for number, step in enumerate(recipe.steps)}
    last = recipe.steps[-1]

    assert recipe.recipe_version == 2
    assert last.key == "c01/optimize"
    assert last.inputs == finished.steps.get(key="c01/optimize").parents
    assert all(place[key] < place[last.key] for key in last.inputs.values() if key != ORIGINAL)
    assert {step.inputs[MODEL] for step in recipe.steps[:-1]} == {ORIGINAL}


def test_the_api_names_all_parents_and_still_the_one_it_starts_from(
    finished: OptimizationSession, engineer: User, client: Client
) -> None:
    client.force_login(engineer)
    answer = client.get(f"/api/v1/sessions/{finished.pk}/steps/").json()
    told = next(step for step in answer if step["key"] == "c01/optimize")

    assert told["parents"] == finished.steps.get(key="c01/optimize").parents
    assert told["parent_key"] == told["parents"]["model"]
    assert next(step for step in answer if step["key"] == "analyse")["parents"] == {}


def test_the_report_lists_the_chain_of_the_model(finished: OptimizationSession) -> None:
    (candidate,) = services.report(finished).candidates
    assert [link.technique for link in candidate.steps] == ["onnx-graph", "onnx-dynamic-int8"]
    assert all(link.digest for link in candidate.steps)
    pipeline.advance(finished.pk)
