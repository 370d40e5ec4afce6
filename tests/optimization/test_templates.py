"""Templates of a model: a session's settings are saved, others start from them, and one is the default."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.plan_edits import NamedLink, PlanEdits
from apps.audit.models import AuditEvent
from apps.models.models import InspectionStatus, ModelVersion
from apps.optimization import criteria, services
from apps.optimization.errors.templates import (
    NoVersionReady,
    TemplateElsewhere,
    TemplateIncomplete,
    TemplateNameMissing,
    TemplateNameTaken,
    TemplateOfComparison,
)
from apps.optimization.models import OptimizationSession, SessionTemplate, Worker
from tests.optimization.conftest import make_version

pytestmark = pytest.mark.django_db
Start = Callable[..., OptimizationSession]
WANTED = Criteria(budget=Budget(minutes=7, candidates=3))
EDITS = PlanEdits(removed=((NamedLink(technique="onnx-dynamic-int8"),),))
TEMPLATES = "/api/v1/session-templates/"


@pytest.fixture
def asked(start: Start, worker: Worker) -> OptimizationSession:
    """A session with criteria and edits of its own."""
    return start(criteria=WANTED, edits=EDITS)


@pytest.fixture
def template(asked: OptimizationSession, engineer: User) -> SessionTemplate:
    return services.template_save(asked, engineer, "Nightly")


def newer(version: ModelVersion, engineer: User) -> ModelVersion:
    """Another ready version of the same model."""
    other = make_version(version.model.team, engineer, "other")
    old = other.model
    other.model, other.number = version.model, 2
    other.save()
    old.delete()
    return ModelVersion.objects.get(pk=other.pk)


def test_a_session_starts_from_a_template_on_the_newest_version_with_all_that_was_asked(
    client: Client, asked: OptimizationSession, version: ModelVersion, engineer: User
) -> None:
    client.force_login(engineer)
    saved = client.post(f"{asked.get_absolute_url()}template/", {"name": " Nightly  run "}, follow=True)
    page = saved.content.decode()
    template = SessionTemplate.objects.get()
    assert (template.name, template.is_default, saved.redirect_chain[-1][0]) == (
        "Nightly run",
        False,
        template.get_absolute_url(),
    )
    assert "1 removed" in page
    assert "3 candidates" in page
    newest = newer(version, engineer)
    model_page = client.get(version.model.get_absolute_url()).content.decode()
    assert "Start with v2" in model_page
    started = client.post(f"/templates/{template.pk}/start/", {"version": newest.pk})
    session = OptimizationSession.objects.exclude(pk=asked.pk).get()
    assert started["Location"] == session.get_absolute_url()
    assert (session.version, session.dataset) == (newest, asked.dataset)
    assert (session.criteria, session.edits) == (asked.criteria, EDITS)
    used = AuditEvent.objects.get(action="template.used")
    assert (used.session_id, used.reason) == (session.pk, "Started from the template “Nightly run”.")


def test_saving_is_refused_to_viewers_and_recorded(asked: OptimizationSession, engineer: User, viewer: User) -> None:
    with pytest.raises(PermissionDenied):
        services.template_save(asked, viewer, "Nightly")
    services.template_save(asked, engineer, "Nightly", default=True)
    found = AuditEvent.objects.filter(action__startswith="template.").order_by("sequence")
    assert [(event.action, event.subject) for event in found] == [
        ("template.saved", "resnet: Nightly"),
        ("template.default_changed", "resnet: Nightly"),
    ]


@pytest.mark.parametrize("name", ["", " ", "x" * 81])
def test_a_template_needs_a_name(asked: OptimizationSession, engineer: User, name: str) -> None:
    with pytest.raises(TemplateNameMissing):
        services.template_save(asked, engineer, name)


def test_a_name_is_taken_once_in_a_model_unless_it_is_replaced(
    client: Client, start: Start, template: SessionTemplate, engineer: User
) -> None:
    session = start(criteria=Criteria())
    client.force_login(engineer)
    refused = client.post(f"{session.get_absolute_url()}template/", {"name": "Nightly"})
    assert refused.status_code == 409
    assert "already has a template called “Nightly”" in refused.content.decode()
    client.post(f"{session.get_absolute_url()}template/", {"name": "Nightly", "replace": "on"})
    changed = SessionTemplate.objects.get()
    assert (changed.pk, changed.criteria, changed.edits.count) == (template.pk, session.criteria, 0)
    assert AuditEvent.objects.filter(action="template.replaced").exists()


def test_a_comparison_cannot_be_a_template(asked: OptimizationSession, engineer: User) -> None:
    asked.compared = asked.version
    asked.save()
    with pytest.raises(TemplateOfComparison):
        services.template_save(asked, engineer, "Nightly")


def test_a_template_keeps_its_criteria_when_the_named_ones_change(start: Start, engineer: User) -> None:
    named = criteria.create(user=engineer, team=engineer.teams.get(), name="Edge", criteria=WANTED)
    template = services.template_save(start(criteria_set=named, criteria=None), engineer, "Edge")
    criteria.change(named, user=engineer, criteria=Criteria(budget=Budget(minutes=1)))
    assert services.template_start(template, engineer, start_anyway=True).criteria.budget.minutes == 7


def test_the_default_fills_in_the_page_of_a_new_session(
    client: Client, template: SessionTemplate, version: ModelVersion, engineer: User
) -> None:
    client.force_login(engineer)
    address = f"/sessions/new/?version={version.pk}"
    assert "Filled in from the template" not in client.get(address).content.decode()
    client.post(f"/templates/{template.pk}/change/", {"name": "Nightly", "default": "on"})
    page = client.get(address)
    assert "Filled in from the template" in page.content.decode()
    form = page.context["form"]
    assert (form["dataset"].value(), form.own["minutes"].value()) == (template.dataset_id, 7)
    assert PlanEdits.model_validate_json(form["edits"].value()) == EDITS
    assert client.get(f"{address}&criteria_set=1").context["template"] is None, "the address says what is wanted"
    assert client.get(f"/sessions/new/?template={template.pk}").context["form"]["version"].value() == version.pk


def test_a_preview_offers_the_templates_of_the_chosen_model(
    client: Client, template: SessionTemplate, version: ModelVersion, engineer: User
) -> None:
    client.force_login(engineer)
    offered = client.post("/sessions/new/preview/", {"version": version.pk}).content.decode()
    assert f"?template={template.pk}&amp;version={version.pk}" in offered
    assert "Templates of this model" not in client.post("/sessions/new/preview/", {}).content.decode()


def test_a_model_has_one_default(asked: OptimizationSession, template: SessionTemplate, engineer: User) -> None:
    services.template_change(template, engineer, default=True)
    weekly = services.template_save(asked, engineer, "Weekly", default=True)
    template.refresh_from_db()
    assert (template.is_default, weekly.is_default) == (False, True)
    template.is_default = True
    with pytest.raises(IntegrityError):
        template.save()


def test_what_was_deleted_has_to_be_chosen_anew(
    client: Client, template: SessionTemplate, asked: OptimizationSession, engineer: User
) -> None:
    asked.steps.all().delete()
    asked.delete()
    dataset = template.dataset
    assert dataset is not None
    dataset.delete()
    template = SessionTemplate.objects.get()
    with pytest.raises(TemplateIncomplete, match="The data set of the template “Nightly” was deleted"):
        services.template_start(template, engineer)
    client.force_login(engineer)
    page = client.post(f"/templates/{template.pk}/start/", follow=True)
    assert page.status_code == 200
    assert "was deleted. Choose another" in page.content.decode()
    assert "Start with" not in client.get(template.get_absolute_url()).content.decode()


def test_a_version_has_to_be_ready_and_of_the_model(template: SessionTemplate, engineer: User) -> None:
    other = make_version(template.model.team, engineer, "other")
    with pytest.raises(TemplateElsewhere):
        services.template_start(template, engineer, other)
    template.model.versions.update(status=InspectionStatus.PENDING)
    with pytest.raises(NoVersionReady):
        services.template_start(template, engineer)


def test_a_template_is_renamed_and_deleted(
    client: Client, asked: OptimizationSession, template: SessionTemplate, engineer: User
) -> None:
    services.template_save(asked, engineer, "Weekly")
    client.force_login(engineer)
    refused = client.post(f"/templates/{template.pk}/change/", {"name": "Weekly"})
    assert (refused.status_code, "already has a template" in refused.content.decode()) == (409, True)
    client.post(f"/templates/{template.pk}/change/", {"name": "Daily"})
    assert AuditEvent.objects.get(action="template.renamed").data == {"name": ["Nightly", "Daily"]}
    client.post(f"/templates/{template.pk}/delete/")
    assert [row.name for row in SessionTemplate.objects.all()] == ["Weekly"]
    with pytest.raises(TemplateNameTaken):
        services.template_save(asked, engineer, "Weekly")


def test_the_api_saves_lists_changes_starts_and_deletes(
    asked: OptimizationSession, version: ModelVersion, engineer: User, viewer: User, stranger: User
) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    made = api.post(TEMPLATES, {"session": asked.pk, "name": "Nightly", "default": True}, format="json").json()
    assert (made["default"], made["criteria"]["budget"]["minutes"], made["model"]) == (True, 7, version.model_id)
    listed = api.get(TEMPLATES, {"model": version.model_id}).json()["results"]
    assert [row["id"] for row in listed] == [made["id"]]
    started = api.post(f"{TEMPLATES}{made['id']}/start/", {}, format="json").json()
    assert (started["version"], started["criteria"]["budget"]["candidates"]) == (version.pk, 3)
    assert api.patch(f"{TEMPLATES}{made['id']}/", {"default": False}, format="json").json()["default"] is False
    api.force_authenticate(viewer)
    assert api.post(f"{TEMPLATES}{made['id']}/start/", {}, format="json").status_code == 403
    api.force_authenticate(stranger)
    assert api.get(f"{TEMPLATES}{made['id']}/").status_code == 404
    api.force_authenticate(engineer)
    assert api.delete(f"{TEMPLATES}{made['id']}/").status_code == 204
    assert not SessionTemplate.objects.exists()
