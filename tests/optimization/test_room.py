"""What the workers have, held against what a plan takes, before anything runs and in the plan itself."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.criteria import Constraints, Criteria, Device, Objective
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.state import StepKind
from apps.models.models import DataSet, ModelVersion
from apps.optimization import services, workers
from apps.optimization.models import AnalysisReport, CriteriaSet, OptimizationSession, PipelineSettings, Worker
from apps.optimization.room import room_for
from tests.optimization import material
from tests.optimization.arguments import arguments_of

pytestmark = pytest.mark.django_db


def worker(name: str, memory_bytes: int, disk_bytes: int | None = None) -> Worker:
    machine = material.MACHINE.model_dump(mode="json") | {"memory_bytes": memory_bytes}
    machine |= {} if disk_bytes is None else {"scratch_free_bytes": disk_bytes}
    return Worker.objects.create(name=name, queues=["cpu"], machine=machine)


def test_the_largest_live_worker_counts_within_the_operators_limit() -> None:
    assert room_for(Device.CPU) is None
    worker("small:1", 2 * 10**9, 10**9)
    worker("large:1", 8 * 10**9, 10**8)
    assert room_for(Device.CPU) == WorkersRoom(memory_bytes=8 * 10**9, disk_bytes=10**9)
    assert room_for(Device.CUDA) is None

    settings = PipelineSettings.current()
    settings.step_memory_limit_bytes = 3 * 10**9
    settings.save()
    assert room_for(Device.CPU) == WorkersRoom(memory_bytes=3 * 10**9, disk_bytes=10**9)


def test_a_worker_of_an_older_version_does_not_tell_its_disk_so_nothing_is_claimed() -> None:
    worker("new:1", 2 * 10**9, 10**9)
    worker("old:1", 2 * 10**9)
    found = room_for(Device.CPU)
    assert found is not None
    assert found.disk_bytes is None


def test_a_worker_reports_its_free_disk() -> None:
    workers.report(["cpu"])
    told = Worker.objects.get(pk=workers.name()).scratch_free_bytes
    assert told is not None
    assert told > 0


def test_preview_and_api_say_what_fits_on_no_worker(version: ModelVersion, dataset: DataSet, engineer: User) -> None:
    worker("tiny:1", 10**6, 10**3)
    sentence = "of memory, and a step on the largest worker may take 1 MB."
    assert sentence in services.session_preview(version, dataset, Criteria()).plan.summary
    client = Client()
    client.force_login(engineer)
    body = {"version": version.pk, "dataset": dataset.pk, "criteria": Criteria().model_dump(mode="json")}
    told = client.post("/api/v1/sessions/preview/", body, content_type="application/json").json()
    assert sentence in told["plan"]["summary"]
    assert all(one["predicted"]["memory_bytes"] for one in told["plan"]["candidates"])


def test_the_step_that_plans_is_told(session: OptimizationSession) -> None:
    analysed = session.steps.create(
        key="analyse", kind=StepKind.ANALYSE, result=material.ANALYSIS.model_dump(mode="json")
    )
    AnalysisReport.objects.create(session=session, step=analysed)
    step = session.steps.create(key="plan", kind=StepKind.PLAN)
    assert "workers" not in arguments_of(step)
    worker("small:1", 2 * 10**9, 10**9)
    assert arguments_of(step)["workers"] == {"memory_bytes": 2 * 10**9, "disk_bytes": 10**9}


def test_preview_names_the_nearest_point_of_limits_out_of_reach(version: ModelVersion, dataset: DataSet) -> None:
    criteria = Criteria(
        objective=Objective.SIZE,
        constraints=Constraints(min_size_reduction=8.0),
        allowed_techniques=("onnx-static-int8", "onnx-dynamic-int8"),
    )
    preview = services.session_preview(version, dataset, criteria)
    plan = preview.plan
    assert plan.nearest is not None
    assert plan.nearest.unreachable == ("min_size_reduction",)
    said = [one for one in preview.conflicts if plan.nearest.nearest_in_words in one.message]
    assert [one.code for one in said] == ["size_out_of_reach"]
    assert "nearest" not in plan.summary


def test_the_page_and_the_api_name_the_nearest_point_once(
    version: ModelVersion, dataset: DataSet, engineer: User
) -> None:
    criteria = Criteria(
        objective=Objective.SIZE,
        constraints=Constraints(min_size_reduction=8.0),
        allowed_techniques=("onnx-static-int8", "onnx-dynamic-int8"),
    )
    saved = CriteriaSet.objects.create(team=version.model.team, name="Tiny", body=criteria.model_dump(mode="json"))
    client = Client()
    client.force_login(engineer)
    asked = {"version": version.pk, "dataset": dataset.pk, "criteria_set": saved.pk}
    page = client.get(reverse("optimization:session-preview"), asked).content.decode()
    assert page.count("The nearest is ") == 1
    body = {"version": version.pk, "dataset": dataset.pk, "criteria": criteria.model_dump(mode="json")}
    told = client.post("/api/v1/sessions/preview/", body, content_type="application/json").json()
    assert json.dumps([told["conflicts"], told["plan"]["summary"]]).count("The nearest is ") == 1
    assert told["plan"]["nearest"]["reaches"]["min_size_reduction"] > 3
