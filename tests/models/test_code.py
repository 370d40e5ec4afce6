"""Models that bring code: only from those who may upload it, only where the installation accepts it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts import services as accounts
from apps.accounts.models import Membership, Team, TokenScope, User
from apps.audit.models import AuditEvent
from apps.models import services
from apps.models.errors import CodeNotAccepted, CodeNotAllowed
from apps.models.models import ModelVersion, RegisteredModel, StoreSettings
from tests.models import archives
from tests.models.conftest import upload_of

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

WITH_CODE = archives.archive(*archives.CODE)


@pytest.fixture
def permitted(owner: User, engineer: User) -> Membership:
    return accounts.permit_code(by=owner, member=Membership.objects.get(user=engineer), allowed=True)


def refuse_code_everywhere() -> None:
    StoreSettings.current()
    StoreSettings.objects.update(accept_code=False)


def test_code_is_refused_before_there_is_a_version_and_the_sentence_names_who_can_allow_it(
    model: RegisteredModel, engineer: User, owner: User
) -> None:
    with pytest.raises(CodeNotAllowed) as refusal:
        services.add_version(model, engineer, file=upload_of(WITH_CODE))
    assert (refusal.value.code, refusal.value.status, refusal.value.field) == ("model.code_not_allowed", 403, "file")
    for words in ("net/build.py", "Vision", str(owner), "Members"):
        assert words in refusal.value.message
    assert not ModelVersion.objects.exists()


def test_not_even_an_owner_brings_code_without_the_permission(model: RegisteredModel, owner: User) -> None:
    with pytest.raises(CodeNotAllowed):
        services.add_version(model, owner, file=upload_of(WITH_CODE))


def test_the_permission_of_another_team_counts_for_nothing(
    other_team: Team, stranger: User, engineer: User, permitted: Membership
) -> None:
    Membership.objects.create(team=other_team, user=engineer, role="engineer")
    model = services.register_model(other_team, stranger, "Theirs")
    with pytest.raises(CodeNotAllowed, match="Speech"):
        services.add_version(model, engineer, file=upload_of(WITH_CODE))


def test_who_may_upload_code_does_and_the_trail_names_the_files(
    model: RegisteredModel, engineer: User, permitted: Membership
) -> None:
    assert services.add_version(model, engineer, file=upload_of(WITH_CODE)).pending
    assert AuditEvent.objects.filter(action="version.added").get().data["code"] == ["net/build.py"]


def test_what_was_permitted_can_be_forbidden_again(
    model: RegisteredModel, engineer: User, owner: User, permitted: Membership
) -> None:
    accounts.permit_code(by=owner, member=permitted, allowed=False)
    with pytest.raises(CodeNotAllowed):
        services.add_version(model, engineer, file=upload_of(WITH_CODE))


def test_operators_can_switch_it_off_for_everybody(
    model: RegisteredModel, engineer: User, permitted: Membership
) -> None:
    refuse_code_everywhere()
    with pytest.raises(CodeNotAccepted, match="An operator can change that") as refusal:
        services.add_version(model, engineer, file=upload_of(WITH_CODE))
    assert (refusal.value.code, refusal.value.status) == ("model.code_not_accepted", 403)
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("names", [archives.DESCRIBED, archives.TRANSFORMERS, archives.EXPORTED, archives.TORCHSCRIPT])
def test_models_without_code_need_no_permission(model: RegisteredModel, engineer: User, names: tuple[str, ...]) -> None:
    refuse_code_everywhere()
    assert services.add_version(model, engineer, file=upload_of(archives.archive(*names))).pending


def test_code_cannot_hide_in_another_kind_of_archive(model: RegisteredModel, engineer: User) -> None:
    for names in (archives.TRANSFORMERS, archives.EXPORTED, ("net.onnx",)):
        with pytest.raises(CodeNotAllowed, match=r"modeling\.PY"):
            services.add_version(model, engineer, file=upload_of(archives.archive(*names, "modeling.PY")))


def test_the_page_says_why_and_keeps_no_model(browse: Callable[[User], Client], engineer: User, owner: User) -> None:
    answers = {"name": "New", "file": upload_of(WITH_CODE)}
    response = browse(engineer).post("/models/upload/", answers)
    assert response.status_code == 403
    assert "you may not upload code" in response.content.decode()
    assert str(owner) in response.content.decode()
    assert not RegisteredModel.objects.exists()


def test_the_upload_page_says_whether_one_may(
    browse: Callable[[User], Client], engineer: User, permitted: Membership
) -> None:
    client = browse(engineer)
    assert "You may upload code to Vision" in client.get("/models/upload/").content.decode()
    Membership.objects.update(may_upload_code=False)
    assert "needs a permission" in client.get("/models/upload/").content.decode()
    refuse_code_everywhere()
    assert "not accepted here" in client.get("/models/upload/").content.decode()


def test_a_token_may_what_its_member_may(model: RegisteredModel, engineer: User, owner: User) -> None:
    _token, text = accounts.create_token(engineer, name="nightly", scope=TokenScope.WRITE, days=1)
    client = APIClient(headers={"Authorization": f"Bearer {text}"})
    answers = {"model": model.pk, "file": upload_of(WITH_CODE)}
    refused = client.post("/api/v1/versions/", answers, format="multipart")
    assert (refused.status_code, refused.json()["code"]) == (403, "model.code_not_allowed")
    accounts.permit_code(by=owner, member=Membership.objects.get(user=engineer), allowed=True)
    made = client.post("/api/v1/versions/", {**answers, "file": upload_of(WITH_CODE)}, format="multipart")
    assert made.status_code == 201
