"""Starting, previewing, cancelling, resuming: what may be done, by whom, and the sentence when it may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Device, Objective, Target
from apps.agents.contracts.errors.datasets import InputMissing, InputShape
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.state import Outcome, Status, StepKind, Verdict
from apps.audit.models import AuditEvent
from apps.models.models import DataSet, InspectionStatus, ModelMetadata, ModelVersion
from apps.optimization import jobs, services
from apps.optimization.criteria import create
from apps.optimization.errors.criteria import CriteriaInvalid, CriteriaMissing
from apps.optimization.errors.lifecycle import SessionMoveRefused
from apps.optimization.errors.resources import (
    AcceleratorUnavailable,
    ProviderUnavailable,
    TechniqueDisabled,
    TechniqueUnavailable,
)
from apps.optimization.errors.results import NoPackage, NoReport, NothingToPromote
from apps.optimization.errors.starting import DataSetNotReady, TeamsDiffer, VersionNotReady
from apps.optimization.models import CriteriaSet, OptimizationSession, PipelineSettings, SessionStep, Worker
from apps.optimization.models.operation import ACCELERATION
from apps.optimization.services.preview import session_preview
from tests.optimization import crank, material
from tests.optimization.conftest import make_dataset, make_version

pytestmark = pytest.mark.django_db

Start = Callable[..., OptimizationSession]
DYNAMIC = "onnx-dynamic-int8"


# --- starting --------------------------------------------------------------------------------------------------------


def test_a_session_freezes_its_criteria(start: Start, engineer: User, team: Team) -> None:
    named = create(user=engineer, team=team, name="Edge", criteria=Criteria(objective=Objective.SIZE))
    session = start(criteria=None, criteria_set=named, overrides={"budget": {"minutes": 5}})
    assert session.criteria == Criteria(objective=Objective.SIZE, budget=Budget(minutes=5))
    assert session.criteria_set == named
    assert (session.status, session.created_by, session.team) == (Status.QUEUED, engineer, team)


def test_starting_is_an_audit_event_and_asks_for_the_first_move(
    start: Start, engineer: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        session = start()
    event = AuditEvent.objects.get(action="session.started")
    assert (event.actor, event.session_id, event.data["seed"]) == (engineer.email, session.pk, 7)
    assert [message.args for message in crank.messages("default")] == [(str(session.pk),)]


def test_a_seed_is_drawn_and_kept(start: Start) -> None:
    assert start(seed=None).seed != start(seed=None).seed


def test_a_viewer_starts_nothing(start: Start, viewer: User, stranger: User) -> None:
    for somebody in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            start(user=somebody)
    assert not OptimizationSession.objects.exists()


def test_a_version_that_is_still_being_checked_waits(start: Start, version: ModelVersion, dataset: DataSet) -> None:
    ModelVersion.objects.update(status=InspectionStatus.PENDING)
    version.refresh_from_db()
    with pytest.raises(VersionNotReady, match="still being checked"):
        start()
    ModelVersion.objects.update(status=InspectionStatus.REFUSED, refusal="It is cut short.")
    version.refresh_from_db()
    with pytest.raises(VersionNotReady, match="It is cut short"):
        start()


def test_a_data_set_that_was_refused_cannot_be_used(start: Start, dataset: DataSet) -> None:
    DataSet.objects.update(status=InspectionStatus.REFUSED, refusal="No labels.")
    dataset.refresh_from_db()
    with pytest.raises(DataSetNotReady, match="No labels"):
        start()


def test_model_data_and_criteria_belong_to_one_team(start: Start, stranger: User, other_team: Team) -> None:
    theirs = make_dataset(other_team, stranger)
    with pytest.raises(TeamsDiffer, match="data set digits"):
        start(dataset=theirs)
    named = create(user=stranger, team=other_team, name="Theirs", criteria=Criteria())
    with pytest.raises(TeamsDiffer, match="criteria Theirs"):
        start(criteria=None, criteria_set=named)


def test_data_that_does_not_fit_the_model_is_refused_by_input_and_shapes(start: Start, version: ModelVersion) -> None:
    wider = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8))
    ModelMetadata.record(version, material.MODEL.model_copy(update={"inputs": (wider,)}))
    with pytest.raises(InputShape, match="x"):
        start(version=ModelVersion.objects.get(pk=version.pk))
    other = TensorSpec(name="pixels", dtype="float32", shape=("batch", 1, 8, 8))
    mask = TensorSpec(name="mask", dtype="float32", shape=("batch", 8))
    ModelMetadata.record(version, material.MODEL.model_copy(update={"inputs": (other, mask)}))
    with pytest.raises(InputMissing, match="pixels"):
        start(version=ModelVersion.objects.get(pk=version.pk))


def test_wrong_criteria_name_every_field_with_its_value(start: Start) -> None:
    with pytest.raises(CriteriaInvalid) as error:
        start(criteria={"confidence": 2, "budget": {"minutes": -1}, "allowed_techniques": None})
    assert [problem["field"] for problem in error.value.problems] == ["budget.minutes", "confidence"]
    assert "given: 2" in error.value.message
    assert error.value.as_dict()["errors"] == error.value.problems


def test_an_unknown_technique_is_named(start: Start) -> None:
    with pytest.raises(CriteriaInvalid, match="no technique 'magic'"):
        start(criteria={"allowed_techniques": ["magic"]})


def test_without_criteria_nothing_starts(start: Start) -> None:
    with pytest.raises(CriteriaMissing):
        start(criteria=None)


def test_a_technique_whose_library_no_worker_has_is_named_with_it(start: Start, worker: Worker) -> None:
    wanted = Criteria(allowed_techniques=(DYNAMIC,))
    assert start(criteria=wanted)
    worker.machine = {**worker.machine, "libraries": {"onnx": "1"}}
    worker.save()
    with pytest.raises(TechniqueUnavailable, match=f"{DYNAMIC}, because none of them has onnxruntime"):
        start(criteria=wanted)


def test_where_no_worker_lives_nothing_is_concluded_from_it(start: Start, worker: Worker) -> None:
    Worker.objects.update(machine={"libraries": {}}, seen_at=timezone.now() - timedelta(hours=1))
    assert start(criteria=Criteria(allowed_techniques=(DYNAMIC,)))


def test_a_target_that_no_worker_serves_is_refused(start: Start, worker: Worker) -> None:
    wanted = Criteria(target=Target(device=Device.CUDA))
    with pytest.raises(AcceleratorUnavailable, match="The target is cuda, but no worker"):
        start(criteria=wanted)
    worker.queues = ["cpu", "gpu"]
    worker.save()
    with pytest.raises(ProviderUnavailable, match=r"compute there \(shed:1: it reports no device\)"):
        start(criteria=wanted)
    worker.machine = {**worker.machine, ACCELERATION: material.acceleration(onnx=True).model_dump(mode="json")}
    worker.save()
    assert start(criteria=wanted)


def test_a_device_on_which_only_another_runtime_computes_is_refused_in_the_preview_as_well(
    start: Start, worker: Worker, version: ModelVersion, dataset: DataSet
) -> None:
    """The queue's name promises nothing: an ONNX model ran on the CPU of the worker that compose started for GPUs."""
    worker.queues = ["gpu"]
    worker.machine = {**worker.machine, ACCELERATION: material.acceleration(onnx=False).model_dump(mode="json")}
    worker.save()
    wanted = Criteria(target=Target(device=Device.CUDA))
    for refused in (start, lambda criteria: session_preview(version, dataset, criteria)):
        with pytest.raises(ProviderUnavailable) as caught:
            refused(criteria=wanted)
        assert caught.value.field == "target.device"
        assert "does ONNX Runtime compute there (shed:1: its ONNX Runtime is a build for the CPU)" in str(caught.value)
    assert start(criteria=Criteria())


def test_a_technique_that_operators_switched_off_is_refused(start: Start) -> None:
    PipelineSettings.objects.update_or_create(pk=1, defaults={"disabled_techniques": [DYNAMIC]})
    with pytest.raises(TechniqueDisabled, match=DYNAMIC):
        start(criteria=Criteria(allowed_techniques=(DYNAMIC,)))


# --- previewing ------------------------------------------------------------------------------------------------------


def test_a_preview_needs_no_worker(version: ModelVersion, dataset: DataSet) -> None:
    preview = services.session_preview(version, dataset, Criteria(forbidden_techniques=("onnx-float16",)))
    by_name = {entry.technique: entry for entry in preview.compatibility}
    assert by_name[DYNAMIC].compatible
    assert by_name["onnx-float16"].reason == "The criteria do not allow it."
    assert preview.plan.candidates
    assert not OptimizationSession.objects.exists()


def test_every_technique_says_who_can_run_it_or_what_is_missing(worker: Worker) -> None:
    status = {one.spec.name: one for one in services.technique_statuses()}[DYNAMIC]
    assert (status.workers, status.missing, status.disabled) == (("shed:1",), (), False)
    Worker.objects.create(pk="office:1", queues=["default", "checks"], machine=worker.machine, seen_at=timezone.now())
    status = {one.spec.name: one for one in services.technique_statuses()}[DYNAMIC]
    assert status.workers == ("shed:1",), "a worker that takes no steps of sessions runs no technique"
    worker.machine = {**worker.machine, "libraries": {"onnx": "1"}}
    worker.save()
    PipelineSettings.objects.update_or_create(pk=1, defaults={"disabled_techniques": [DYNAMIC]})
    status = {one.spec.name: one for one in services.technique_statuses()}[DYNAMIC]
    assert (status.workers, status.missing, status.disabled) == ((), ("onnxruntime",), True)


# --- cancelling, retrying, resuming ----------------------------------------------------------------------------------


def settle(session: OptimizationSession, status: Status) -> OptimizationSession:
    OptimizationSession.objects.filter(pk=session.pk).update(status=status, finished_at=timezone.now())
    session.refresh_from_db()
    return session


def test_cancelling_drops_what_waits(session: OptimizationSession, engineer: User) -> None:
    step = SessionStep.objects.create(session=session, key="analyse", kind="analyse")
    services.session_cancel(session, engineer)
    session.refresh_from_db()
    step.refresh_from_db()
    assert session.cancel_requested_at is not None
    assert step.status == Status.CANCELLED
    assert AuditEvent.objects.get(action="session.cancel_requested").actor == engineer.email


def test_what_has_ended_cannot_be_cancelled(session: OptimizationSession, engineer: User) -> None:
    settle(session, Status.COMPLETED)
    with pytest.raises(SessionMoveRefused, match="is completed, so it cannot cancel"):
        services.session_cancel(session, engineer)


def test_a_viewer_neither_cancels_nor_retries_nor_resumes(session: OptimizationSession, viewer: User) -> None:
    for act in (services.session_cancel, services.session_retry, services.session_resume):
        with pytest.raises(PermissionDenied):
            act(session, viewer)


def test_a_retry_is_the_same_question_as_a_new_session(session: OptimizationSession, engineer: User) -> None:
    with pytest.raises(SessionMoveRefused, match="be retried"):
        services.session_retry(session, engineer)
    again = services.session_retry(settle(session, Status.FAILED), engineer)
    assert again.pk != session.pk
    assert again.retry_of == session
    assert (again.seed, again.criteria_body, again.version) == (session.seed, session.criteria_body, session.version)


def test_resuming_keeps_what_is_completed_and_does_the_rest_again(session: OptimizationSession, engineer: User) -> None:
    def step(key: str, kind: str, status: Status) -> SessionStep:
        return SessionStep.objects.create(session=session, key=key, kind=kind, status=status, attempt=3, error="x")

    analysed = step("analyse", "analyse", Status.COMPLETED)
    unfit = step("optimize/c01", "optimize", Status.FAILED)
    interrupted = step("optimize/c02", "optimize", Status.CANCELLED)
    package = step("package", "package", Status.FAILED)
    OptimizationSession.objects.update(
        status=Status.FAILED,
        started_at=timezone.now() - timedelta(hours=2),
        finished_at=timezone.now() - timedelta(hours=1),
    )
    session.refresh_from_db()
    resumed = services.session_resume(session, engineer)
    assert (resumed.status, resumed.error) == (Status.QUEUED, "")
    assert resumed.elapsed_s() == pytest.approx(3600, abs=1), "the pause does not count"
    for row, status in (
        (analysed, Status.COMPLETED),
        (unfit, Status.FAILED),
        (interrupted, Status.QUEUED),
        (package, Status.QUEUED),
    ):
        row.refresh_from_db()
        assert row.status == status
    assert (package.attempt, package.error) == (0, "")


@pytest.mark.children
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stored", "small_handlers", "impatient")
def test_a_resumed_session_comes_to_its_verdict(
    session: OptimizationSession, engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setitem(jobs.HANDLERS, StepKind.PACKAGE, "tests.optimization.handlers:refuse")
        crank.turn_until_quiet()
    session.refresh_from_db()
    assert session.status == Status.FAILED
    made = set(session.steps.filter(status=Status.COMPLETED).values_list("key", "finished_at"))
    services.session_resume(session, engineer)
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.outcome, session.error) == (Status.COMPLETED, Outcome.IMPROVED, "")
    assert made < set(session.steps.values_list("key", "finished_at")), "nothing completed is done again"


def test_only_what_failed_or_was_cancelled_can_be_resumed(session: OptimizationSession, engineer: User) -> None:
    for status in (Status.QUEUED, Status.RUNNING, Status.COMPLETED):
        with pytest.raises(SessionMoveRefused, match="resume"):
            services.session_resume(settle(session, status), engineer)


# --- results ---------------------------------------------------------------------------------------------------------


def test_before_the_verdict_there_is_no_report_and_no_package(session: OptimizationSession, engineer: User) -> None:
    with pytest.raises(NoReport, match="queued"):
        services.report(session)
    with pytest.raises(NoPackage):
        services.package_of(session)
    with pytest.raises(NothingToPromote, match="queued"):
        services.promote(session, engineer)


def test_where_the_original_stands_there_is_nothing_to_promote(session: OptimizationSession, engineer: User) -> None:
    verdict = Verdict(outcome=Outcome.UNCHANGED, binding="min_speedup", reason="Nothing was faster.")
    OptimizationSession.objects.update(verdict=verdict.model_dump(mode="json"), status=Status.COMPLETED)
    session.refresh_from_db()
    assert services.report(session).winner is None
    with pytest.raises(NothingToPromote, match="Nothing was faster"):
        services.promote(session, engineer)


def test_strangers_see_no_session(session: OptimizationSession, viewer: User, stranger: User) -> None:
    assert OptimizationSession.objects.visible_to(viewer).get() == session
    assert not OptimizationSession.objects.visible_to(stranger).exists()


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_starts_a_session(
    version: ModelVersion, dataset: DataSet, engineer: User, capsys: pytest.CaptureFixture[str]
) -> None:
    CriteriaSet.objects.get_or_create(name="balanced", team=None, defaults={"body": Criteria().model_dump(mode="json")})
    call_command(
        "optimize", "resnet", "digits", user=engineer.email, set={"constraints": {"max_metric_drop_points": 0.5}}
    )
    session = OptimizationSession.objects.get()
    assert capsys.readouterr().out.strip() == str(session.pk)
    assert session.criteria.constraints == Constraints(max_metric_drop_points=0.5)


@pytest.mark.parametrize(
    ("model", "dataset_name", "criteria", "sentence"),
    [
        ("nothing", "digits", "balanced", "no model version nothing"),
        ("resnet/9", "digits", "balanced", "no model version resnet/9"),
        ("resnet", "letters", "balanced", "no data set letters"),
        ("resnet", "digits", "greedy", "no criteria called greedy"),
    ],
)
def test_the_command_says_what_it_did_not_find(
    version: ModelVersion, dataset: DataSet, engineer: User, model: str, dataset_name: str, criteria: str, sentence: str
) -> None:
    CriteriaSet.objects.get_or_create(name="balanced", team=None, defaults={"body": Criteria().model_dump(mode="json")})
    with pytest.raises(CommandError, match=sentence):
        call_command("optimize", model, dataset_name, user=engineer.email, criteria=criteria)


def test_a_stranger_cannot_name_the_teams_models(version: ModelVersion, stranger: User) -> None:
    make_version(stranger.teams.get(), stranger, "other")
    with pytest.raises(CommandError, match="no model version resnet"):
        call_command("optimize", "resnet", "digits", user=stranger.email)
