"""A session with a student: who may choose which model, and its way through the pipeline to report and recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.chain import MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome
from apps.audit.models import AuditEvent
from apps.errors import UserError
from apps.models.errors import ModelInUse
from apps.models.models import DataSet, ModelMetadata, ModelVersion
from apps.models.services import delete_model
from apps.models.storage import open_blob, put_stream
from apps.optimization import services
from apps.optimization.errors import students
from apps.optimization.errors.starting import TeamsDiffer, VersionNotReady
from apps.optimization.forms.starting import SessionForm
from apps.optimization.models import OptimizationSession
from apps.optimization.recipe import recipe_of
from tests.optimization import material
from tests.optimization.conftest import make_version
from tests.optimization.standing import standing

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

SESSIONS = "/api/v1/sessions/"
TORCH = material.STATE_DICT
SMALL = TORCH.model_copy(update={"parameters": 20_000})


def model(team: Team, user: User, name: str, summary: ModelSummary = SMALL) -> ModelVersion:
    """A ready version of a model with bytes of its own."""
    version = make_version(team, user, name)
    version.blob = put_stream([f"the bytes of {name}".encode()])
    version.save(update_fields=["blob"])
    version.metadata.delete()
    ModelMetadata.record(version, summary)
    return ModelVersion.objects.get(pk=version.pk)


@pytest.fixture
def version(team: Team, engineer: User) -> ModelVersion:
    return model(team, engineer, "resnet", TORCH)


@pytest.fixture
def student(team: Team, engineer: User) -> ModelVersion:
    return model(team, engineer, "small")


@pytest.fixture
def api(engineer: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(engineer)
    return client


# --- who may choose which ---------------------------------------------------------------------------------------------


def test_the_api_starts_a_session_with_a_student_and_the_trail_names_it(
    api: APIClient, version: ModelVersion, student: ModelVersion, dataset: DataSet, engineer: User
) -> None:
    question = {"version": version.pk, "student": student.pk, "dataset": dataset.pk, "criteria": {}}
    answer = api.post(SESSIONS, {**question, "start_anyway": True}, format="json")
    assert (answer.status_code, answer.json()["student"]) == (201, student.pk)
    event = AuditEvent.objects.get(action="session.started")
    assert (event.data["student"], "small v1 as its student" in event.reason) == (student.pk, True)
    session = OptimizationSession.objects.get()
    session.begin()
    session.fail("test", "For a test.")
    assert services.session_retry(session, engineer).student == student
    assert api.post(SESSIONS, {**question, "student": None, "start_anyway": True}, format="json").status_code == 201


def test_a_version_of_another_team_is_no_students_version(
    api: APIClient,
    version: ModelVersion,
    dataset: DataSet,
    team: Team,
    engineer: User,
    other_team: Team,
    stranger: User,
    start: Callable[..., OptimizationSession],
) -> None:
    foreign = model(other_team, stranger, "theirs")
    question = {"version": version.pk, "student": foreign.pk, "dataset": dataset.pk, "criteria": {}}
    for path in (SESSIONS, f"{SESSIONS}preview/"):
        hidden, missing = (api.post(path, {**question, "student": pk}, format="json") for pk in (foreign.pk, 999_999))
        assert (hidden.status_code, hidden.json()) == (404, missing.json())
    form = SessionForm({"version": version.pk, "student": foreign.pk}, user=engineer, team=team)
    assert "student" in form.errors
    assert "theirs" not in str(form["student"])
    with pytest.raises(TeamsDiffer, match="theirs") as refused:
        start(student=foreign)
    assert refused.value.field == "student"
    assert not OptimizationSession.objects.exists()


def test_a_viewer_starts_none(viewer: User, version: ModelVersion, student: ModelVersion, dataset: DataSet) -> None:
    client = APIClient()
    client.force_authenticate(viewer)
    question = {"version": version.pk, "student": student.pk, "dataset": dataset.pk, "criteria": {}}
    assert client.post(SESSIONS, question, format="json").status_code == 403


@pytest.mark.parametrize(
    ("summary", "error", "words"),
    [
        (material.MODEL, students.StudentFormatDiffers, "ONNX"),
        (SMALL.model_copy(update={"outputs": SMALL.inputs}), students.StudentInterfaceDiffers, "its outputs are"),
    ],
)
def test_a_student_that_does_not_fit_is_refused_by_name(
    start: Callable[..., OptimizationSession],
    team: Team,
    engineer: User,
    summary: ModelSummary,
    error: type[UserError],
    words: str,
) -> None:
    with pytest.raises(error, match=words) as refused:
        start(student=model(team, engineer, "small", summary))
    assert refused.value.field == "student"


def test_the_original_and_models_that_nothing_trains_are_refused(
    start: Callable[..., OptimizationSession], version: ModelVersion, student: ModelVersion, team: Team, engineer: User
) -> None:
    with pytest.raises(students.StudentIsOriginal, match="resnet v1 is the model that is optimized"):
        start(student=version)
    pair = [model(team, engineer, name, material.MODEL) for name in ("first", "second")]
    with pytest.raises(students.StudentNotTaught, match="ONNX"):
        start(version=pair[0], student=pair[1])
    ModelVersion.objects.filter(pk=student.pk).update(status="pending")
    with pytest.raises(VersionNotReady, match="small v1"):
        start(student=ModelVersion.objects.get(pk=student.pk))


def test_the_page_offers_students_and_previews_with_the_chosen_one(
    client: Client, engineer: User, version: ModelVersion, student: ModelVersion, dataset: DataSet
) -> None:
    client.force_login(engineer)
    page = client.get(reverse("optimization:session-new"), {"student": student.pk}).content.decode()
    assert 'hx-params="version,dataset,student,criteria_set,edits"' in page
    assert f'<option value="{student.pk}" selected>small v1</option>' in page
    criteria = page.split('name="criteria_set"')[1].split('<option value="')[2].split('"')[0]
    question = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria}
    address = reverse("optimization:session-preview")
    assert "none was" in client.get(address, question).content.decode()
    assert "none was" not in client.get(address, {**question, "student": student.pk}).content.decode()
    answer = client.post(reverse("optimization:session-new"), {**question, "student": version.pk})
    assert (answer.status_code, "is the model that is optimized" in answer.content.decode()) == (422, True)


# --- the way through the pipeline -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(django_db_setup: None, django_db_blocker: Any) -> Iterator[OptimizationSession]:
    with standing(django_db_blocker.unblock) as made:
        with django_db_blocker.unblock():
            made.dataset.summary = {**made.dataset.summary, "training_examples": 400}
            made.dataset.save(update_fields=["summary"])
            ModelMetadata.objects.all().delete()
            ModelMetadata.record(made.version, TORCH)
            version = ModelVersion.objects.get(pk=made.version.pk)
            given = model(version.model.team, made.user, "small")
        yield made.session(
            analyse="analyse_for_a_recovery",
            plan="plan_with_a_student",
            optimize="learn_from_others",
            version=version,
            student=given,
        )


def test_the_student_reaches_the_job_by_its_role(finished: OptimizationSession) -> None:
    assert finished.outcome == Outcome.IMPROVED, [(c.status, c.reason) for c in finished.candidates.all()]
    step = finished.steps.get(key="c01/optimize")
    assert step.parents == {"teacher": ORIGINAL, STUDENT: STUDENT}
    with open_blob(step.artifact) as file:
        assert b"|student(state-dict)=b'the bytes of small'" in file.read()


def test_report_page_and_recipe_name_the_student(finished: OptimizationSession, client: Client) -> None:
    given = finished.student
    told = services.report(finished)
    assert (told.student, told.student_digest) == ("small v1", given.blob_id)
    client.force_login(finished.created_by)
    for address in (finished.get_absolute_url(), reverse("optimization:report", args=[finished.pk])):
        assert "small v1" in client.get(address).content.decode()
    recipe = recipe_of(finished)
    assert (recipe.recipe_version, recipe.student.sha256, recipe.student.format) == (2, given.blob_id, "state-dict")
    assert recipe.steps[-1].inputs == {MODEL: ORIGINAL, "teacher": ORIGINAL, STUDENT: STUDENT}


def test_a_model_that_was_a_student_goes_only_with_its_sessions(finished: OptimizationSession) -> None:
    user, given = finished.created_by, finished.student.model
    with pytest.raises(ModelInUse):
        delete_model(given, user)
    delete_model(given, user, with_sessions=True)
    assert not OptimizationSession.objects.filter(pk=finished.pk).exists()
