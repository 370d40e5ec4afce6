"""What is said before a session starts, at every door: what its data can decide, and how often it has judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.metrics import Flips
from apps.agents.contracts.state import Status, StepKind
from apps.agents.evaluation.decidability import Decides
from apps.models.models import DataSet, ModelVersion
from apps.optimization import services
from apps.optimization.criteria import create
from apps.optimization.errors.starting import SessionContradictory, SizeUncounted
from apps.optimization.models import Candidate, EvaluationReport, OptimizationSession, SessionStep
from tests.optimization import material
from tests.optimization.conftest import make_dataset, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

Start = Callable[..., OptimizationSession]


def measured(session: OptimizationSession, lost: int = 4, won: int = 2) -> None:
    """A candidate of `session` with its evaluation."""
    flips = Flips(both_right=500, both_wrong=300, lost=lost, won=won, changed=lost + won)
    report = material.evaluation().model_copy(update={"flips": flips})
    candidate = Candidate.objects.create(
        session=session, key="c1", **material.chain(("onnx-dynamic-int8", "One")), predicted={}, reason=""
    )
    step = SessionStep.objects.create(
        session=session, key="c1/evaluate", kind=StepKind.EVALUATE, result=report.model_dump(mode="json")
    )
    EvaluationReport.objects.create(
        candidate=candidate, step=step, speedup=2, size_ratio=2, metric_drop=0,
        candidate_p50_ms=1, candidate_metric=90, verdict=report.verdict,
    )  # fmt: skip


def ended(session: OptimizationSession, status: Status = Status.COMPLETED) -> None:
    OptimizationSession.objects.filter(pk=session.pk).update(status=status)


def test_a_limit_on_groups_asks_for_groups_and_for_a_metric_that_they_have_a_part_of(
    start: Start, dataset: DataSet
) -> None:
    limits = {"constraints": {"max_group_drop_points": 2.0}}
    with pytest.raises(SessionContradictory, match="has no groups") as unnamed:
        start(overrides=limits)
    assert unnamed.value.field == "constraints.max_group_drop_points"
    dataset.spec = {**dataset.spec, "group": "site"}
    assert start(overrides=limits).criteria.constraints.max_group_drop_points == 2.0
    spec = DatasetSpec(kind="npz", task="regression", metric="rmse", group="site")
    dataset.spec = spec.model_dump(mode="json")
    labels = {"name": "y", "dtype": "float32", "shape": ["N", 10]}
    dataset.summary = {**dataset.summary, "task": "regression", "labels": labels}
    with pytest.raises(SessionContradictory, match="root mean squared error"):
        start(overrides=limits)


def test_the_size_as_tensorflow_lite_asks_for_a_model_that_is_exported_to_it(
    start: Start, version: ModelVersion
) -> None:
    counted = {"counted_size": "tflite"}
    with pytest.raises(SizeUncounted, match="in the format ONNX, which is not exported to it") as refused:
        start(overrides=counted)
    assert refused.value.field == "counted_size"
    version.metadata.format = "keras"
    assert start(overrides=counted, start_anyway=True).criteria.counted_size == "tflite"


def test_the_preview_says_what_the_data_can_decide(version: ModelVersion, dataset: DataSet) -> None:
    tight = Criteria(constraints=Constraints(max_metric_drop_points=0.01))
    found = services.session_preview(version, dataset, tight).decidability
    assert found.decides is Decides.NO
    assert found.limit == 0.01
    assert services.session_preview(version, dataset, Criteria()).use.number == 1


def test_what_was_measured_of_the_same_model_on_the_same_data_is_used(
    start: Start, version: ModelVersion, dataset: DataSet, team: Team, engineer: User
) -> None:
    assert services.what_is_decided(version, dataset, Criteria()).measured == 0
    measured(start())
    found = services.what_is_decided(version, dataset, Criteria())
    assert found.measured == 1
    assert [one.discordant_share for one in found.reaches] == [pytest.approx(6 / material.evaluation().examples)]
    assert services.what_is_decided(make_version(team, engineer, "other"), dataset, Criteria()).measured == 0


def test_candidates_that_broke_a_limit_do_not_speak_for_those_that_are_looked_for(
    start: Start, version: ModelVersion, dataset: DataSet
) -> None:
    measured(start(), lost=300)
    EvaluationReport.objects.update(verdict="violated")
    assert services.what_is_decided(version, dataset, Criteria()).measured == 0


def test_sessions_on_the_same_bytes_are_counted_and_the_count_is_frozen(
    start: Start, dataset: DataSet, team: Team, engineer: User
) -> None:
    first, second = start(), start()
    assert (first.sessions_before, second.sessions_before) == (0, 1)
    ended(first)
    ended(second, Status.CANCELLED)
    assert services.use_of(dataset, Criteria()).number == 1, "neither has measured a candidate"
    measured(first)
    assert services.use_of(dataset, Criteria()).number == 2
    assert services.use_of(make_dataset(team, engineer, "the same file again"), Criteria()).number == 2
    second.refresh_from_db()
    assert second.sessions_before == 1


def test_another_teams_sessions_are_nobodys_business(start: Start, dataset: DataSet) -> None:
    start()
    dataset.team = Team.objects.create(name="Other", slug="other")
    assert services.use_of(dataset, Criteria()).number == 1


def test_the_page_warns_of_a_limit_that_cannot_be_decided_and_reacts_to_another(
    client: Client, version: ModelVersion, dataset: DataSet, team: Team, engineer: User
) -> None:
    body = {"constraints": {"max_metric_drop_points": 0.01}}
    criteria = create(user=engineer, team=team, name="Tight", criteria=body)
    client.force_login(engineer)
    asked: dict[str, Any] = {"version": version.pk, "dataset": dataset.pk, "criteria_set": criteria.pk}
    page = client.get(reverse("optimization:session-preview"), asked).content.decode()
    assert "The limit cannot be decided with this data." in page
    assert page.index('id="preview-decides"') < page.index('id="preview-plan"')
    asked |= {"limit": "40", "confidence": "0.95"}
    loose = client.get(reverse("optimization:session-decides"), asked).content.decode()
    assert "enough for the limit of 40 points" in loose
    assert "notice-warn" not in loose
    wrong = client.get(reverse("optimization:session-decides"), {**asked, "confidence": "7"}).content.decode()
    assert "less than or equal to 0.999" in wrong


def test_the_page_and_the_api_say_what_repeated_use_does(
    client: Client, start: Start, version: ModelVersion, dataset: DataSet, engineer: User
) -> None:
    for _ in range(6):
        session = start()
    client.force_login(engineer)
    api = APIClient()
    api.force_login(engineer)
    question = {"version": version.pk, "dataset": dataset.pk, "criteria": Criteria().model_dump(mode="json")}
    answer = api.post("/api/v1/sessions/preview/", question, format="json").json()
    assert answer["use"]["number"] == 7
    assert "This is the 7th session" in answer["use"]["sentence"]
    assert answer["decidability"]["limit"] == 1.0
    assert api.get(f"/api/v1/sessions/{session.pk}/").json()["sessions_before"] == 5


def test_the_terminal_says_both(
    start: Start, version: ModelVersion, dataset: DataSet, engineer: User, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    call_command("optimize", version.model.name, dataset.name, user=engineer.email, start_anyway=True)
    told = capsys.readouterr()
    assert "examples judge" in told.err
    assert "This is the 2nd session" in told.err
    assert len(told.out.split()) == 1, "scripts read the session's number alone"
