"""What an operator deletes in the admin is in the audit trail, like what members delete on pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from apps.accounts import services
from apps.accounts.audited import Audited
from apps.accounts.models import Invitation, Team, TokenScope, User
from apps.audit.models import AuditEvent
from apps.models.models import StoreQuota
from apps.optimization.models import RetentionPolicy

OURS = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}


def invitation(team: Team, owner: User) -> Model:
    later = timezone.now() + timedelta(days=1)
    return Invitation.objects.create(team=team, email="new@example.org", token_digest="d", expires_at=later)


def token(team: Team, owner: User) -> Model:
    return services.create_token(user=owner, name="nightly", scope=TokenScope.READ, days=7)[0]


def quota(team: Team, owner: User) -> Model:
    return StoreQuota.objects.create(team=team, quota_bytes=1000)


def retention(team: Team, owner: User) -> Model:
    return RetentionPolicy.objects.create(team=team, log_days=3)


def account(team: Team, owner: User) -> Model:
    return User.objects.create_user("gone@example.org")


def empty_team(team: Team, owner: User) -> Model:
    return Team.objects.create(name="Gone", slug="gone")


@pytest.mark.parametrize(
    ("make", "action"),
    [
        (invitation, "invitation.withdrawn"),
        (token, "token.revoked"),
        (quota, "store.quota_removed"),
        (retention, "retention.removed"),
        (account, "user.deleted"),
        (empty_team, "team.deleted"),
    ],
)
@pytest.mark.parametrize("together", [False, True], ids=["on its page", "in the list"])
def test_a_deletion_is_recorded(
    admin_client: Client, team: Team, owner: User, make: Callable[..., Model], action: str, together: bool
) -> None:
    row = make(team, owner)
    subject, place = str(row), f"admin:{row._meta.app_label}_{row._meta.model_name}"
    if together:
        asked = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        assert admin_client.post(reverse(f"{place}_changelist"), asked).status_code == 302
    else:
        assert admin_client.post(reverse(f"{place}_delete", args=[row.pk]), {"post": "yes"}).status_code == 302
    assert not type(row)._default_manager.filter(pk=row.pk).exists()
    event = AuditEvent.objects.get(action=action)
    assert (event.subject, event.actor_kind) == (subject, "user")


@pytest.mark.django_db
def test_the_admin_deletes_nothing_of_ours_without_recording_it(admin_user: User, rf: RequestFactory) -> None:
    request = rf.get("/admin/")
    request.user = admin_user
    deletes = [
        page
        for model, page in admin.site._registry.items()
        if model._meta.app_label in OURS and page.has_delete_permission(request)
    ]
    assert len(deletes) >= 6
    assert all(isinstance(page, Audited) and page.audit_deletion for page in deletes), deletes
