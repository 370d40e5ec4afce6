"""A session that can try nothing is started only by who says so, through every door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Criteria
from apps.models.models import DataSet, ModelVersion
from apps.optimization import services
from apps.optimization.criteria import create
from apps.optimization.errors.starting import NothingToTry
from apps.optimization.models import CriteriaSet, OptimizationSession

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

NOTHING = Criteria(allowed_techniques=("torch-half",))
"""A technique for another framework than the model's."""


@pytest.fixture
def hopeless(team: Team, engineer: User) -> CriteriaSet:
    return create(user=engineer, team=team, name="Hopeless", criteria=NOTHING)


def test_it_needs_a_yes(start: Callable[..., OptimizationSession], engineer: User) -> None:
    with pytest.raises(NothingToTry, match="no technique can be tried"):
        start(criteria=NOTHING)
    assert not OptimizationSession.objects.exists()
    session = start(criteria=NOTHING, start_anyway=True)
    OptimizationSession.objects.update(status="failed")
    session.refresh_from_db()
    assert services.session_retry(session, engineer).retry_of == session, "the yes of the first time counts"


def test_a_program_is_told_by_a_code_and_says_yes(version: ModelVersion, dataset: DataSet, engineer: User) -> None:
    client = APIClient()
    client.force_authenticate(engineer)
    body: dict[str, Any] = {"version": version.pk, "dataset": dataset.pk, "criteria": NOTHING.model_dump(mode="json")}
    answer = client.post("/api/v1/sessions/", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "session.nothing_to_try")
    assert answer.json()["errors"][0]["field"] == "start_anyway"
    assert client.post("/api/v1/sessions/", {**body, "start_anyway": True}, format="json").status_code == 201


def test_the_page_asks_with_a_checkbox(
    client: Client, version: ModelVersion, dataset: DataSet, engineer: User, hopeless: CriteriaSet
) -> None:
    client.force_login(engineer)
    address = reverse("optimization:session-new")
    assert 'type="checkbox" name="start_anyway"' not in client.get(address).content.decode()
    answers = {"version": version.pk, "dataset": dataset.pk, "criteria_set": hopeless.pk}
    asked = client.post(address, answers)
    assert asked.status_code == 422
    assert '<input type="checkbox" name="start_anyway"' in asked.content.decode()
    assert client.post(address, {**answers, "start_anyway": "on"}).status_code == 302
    assert OptimizationSession.objects.count() == 1


def test_the_command_has_a_flag(
    version: ModelVersion, dataset: DataSet, engineer: User, hopeless: CriteriaSet, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"user": engineer.email, "criteria": hopeless.name}
    with pytest.raises(CommandError, match="nothing can be tried"):
        call_command("optimize", "resnet", "digits", **given)
    call_command("optimize", "resnet", "digits", start_anyway=True, **given)
    assert capsys.readouterr().out.strip() == str(OptimizationSession.objects.get().pk)
