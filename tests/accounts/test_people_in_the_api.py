"""Members, invitations and tokens through the API, as on pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from rest_framework.test import APIClient

from apps.accounts import services
from apps.accounts.models import ApiToken, Invitation, KeptAnswer, Membership, Role, Team, TokenScope, User
from apps.audit.models import AuditEvent
from tests.accounts.test_tokens import ME, bearer

pytestmark = pytest.mark.django_db


def api(user: User, team: Team | None = None, days: int = 30) -> APIClient:
    return bearer(services.create_token(user, name="api", scope=TokenScope.WRITE, days=days, team=team)[1])


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    return str(answer.json()["code"])


def test_an_owner_changes_and_removes_members(owner: User, viewer: User, team: Team) -> None:
    member = Membership.objects.get(user=viewer)
    path = f"/api/v1/members/{member.pk}/"
    changed = api(owner).patch(path, {"role": "engineer", "may_upload_code": True})
    assert (changed.json()["role"], changed.json()["may_upload_code"], changed.json()["team"]) == (
        "engineer",
        True,
        team.slug,
    )
    listed = api(owner).get("/api/v1/members/?role=engineer").json()["results"]
    assert [one["email"] for one in listed] == [viewer.email]
    assert code(api(viewer).patch(path, {"role": "owner"}), 403) == "request.permission_denied"
    assert api(owner).delete(path).status_code == 204
    mine = Membership.objects.get(user=owner)
    assert code(api(owner).delete(f"/api/v1/members/{mine.pk}/"), 409) == "team.last_owner"
    assert code(api(owner).patch(f"/api/v1/members/{mine.pk}/", {"role": "viewer"}), 409) == "team.last_owner"


def test_a_stranger_finds_nobody(stranger: User, viewer: User, team: Team) -> None:
    member = Membership.objects.get(user=viewer)
    for method in ("get", "patch", "delete"):
        assert getattr(api(stranger), method)(f"/api/v1/members/{member.pk}/").status_code == 404
    answer = api(stranger).post("/api/v1/invitations/", {"email": "x@example.org", "team": team.slug})
    assert code(answer, 422) == "team.unknown"
    assert api(stranger).get(f"/api/v1/members/?team={team.slug}").json()["count"] == 0


def test_an_owner_invites_and_withdraws(owner: User, engineer: User, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = api(owner).post("/api/v1/invitations/", {"email": "Nina@Example.org", "role": "viewer"})
    assert (made.status_code, made.json()["email"], made.json()["invited_by"]) == (
        201,
        "nina@example.org",
        owner.email,
    )
    assert mail.outbox[-1].to == ["nina@example.org"]
    assert api(engineer).get("/api/v1/invitations/").json()["count"] == 0, "only owners see them, as on the page"
    assert api(owner).get("/api/v1/invitations/").json()["count"] == 1
    path = f"/api/v1/invitations/{made.json()['id']}/"
    assert api(engineer).delete(path).status_code == 403
    assert api(owner).delete(path).status_code == 204
    assert not Invitation.objects.exists()
    assert code(api(owner).post("/api/v1/invitations/", {"email": engineer.email}), 409) == "team.already_member"


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_one_lists_and_revokes_ones_own_tokens(engineer: User, owner: User) -> None:
    theirs = services.create_token(owner, name="theirs", scope=TokenScope.READ, days=1)[0]
    mine = api(engineer)
    mine.get(ME, REMOTE_ADDR="203.0.113.7")
    rows = mine.get("/api/v1/tokens/").json()["results"]
    assert [(row["name"], row["scope"], row["last_address"]) for row in rows] == [("api", "write", "127.0.0.1")]
    assert mine.delete(f"/api/v1/tokens/{theirs.token_key}/").status_code == 404
    assert mine.delete(f"/api/v1/tokens/{rows[0]['key']}/").status_code == 204
    assert mine.get(ME).status_code == 401


def test_a_token_made_by_a_token_does_not_outlive_it(engineer: User, team: Team) -> None:
    mine = api(engineer, days=10)
    made = mine.post("/api/v1/tokens/", {"name": "short", "scope": "read", "days": 9})
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    assert bearer(made.json()["text"]).get(ME).status_code == 200
    assert code(mine.post("/api/v1/tokens/", {"name": "long", "days": 11}), 422) == "token.outlives_its_maker"
    assert code(mine.post("/api/v1/tokens/", {"name": "never", "days": 0}), 422) == "token.lifetime_out_of_range"
    reader = bearer(made.json()["text"])
    assert reader.post("/api/v1/tokens/", {"name": "x", "days": 1}).status_code == 403


def test_a_token_for_one_team_opens_no_other(engineer: User, team: Team, other_team: Team) -> None:
    Membership.objects.create(team=other_team, user=engineer, role=Role.OWNER)
    bound, free = api(engineer, team), api(engineer)
    free.post("/api/v1/models/", {"name": "net", "team": other_team.slug})
    assert free.get("/api/v1/models/").json()["count"] == 1
    assert bound.get("/api/v1/models/").json()["count"] == 0
    assert [one["slug"] for one in bound.get("/api/v1/teams/").json()["results"]] == [team.slug]
    assert [one["team"] for one in bound.get(ME).json()["memberships"]] == [team.slug]
    assert bound.post("/api/v1/models/", {"name": "net"}).json()["team"] == team.slug, "it need not be named"
    refused = bound.post("/api/v1/models/", {"name": "x", "team": other_team.slug})
    assert code(refused, 422) == "team.unknown"
    made = bound.post("/api/v1/tokens/", {"name": "child", "days": 1}).json()
    assert made["team"] == team.slug
    assert {row["team"] for row in bound.get("/api/v1/tokens/").json()["results"]} == {team.slug}
    assert bound.get("/api/v1/criteria/?built_in=false").json()["count"] == 0


def test_leaving_a_team_ends_the_tokens_for_it_and_no_others(
    engineer: User, owner: User, team: Team, other_team: Team
) -> None:
    Membership.objects.create(team=other_team, user=engineer, role=Role.VIEWER)
    here, there, everywhere = api(engineer, team), api(engineer, other_team), api(engineer)
    services.remove_member(by=owner, member=team.memberships.get(user=engineer))
    assert here.get(ME).status_code == 401
    assert there.get(ME).status_code == 200
    assert [one["team"] for one in everywhere.get(ME).json()["memberships"]] == [other_team.slug]
    ended = AuditEvent.objects.get(action="token.ended")
    assert (ended.reason, ended.team_id) == ("The member left the team Vision.", team.pk)
    services.remove_member(by=engineer, member=other_team.memberships.get(user=engineer))
    assert (there.get(ME).status_code, everywhere.get(ME).status_code) == (401, 401)
    assert not ApiToken.objects.filter(user=engineer).exists()


# --- secrets in answers ----------------------------------------------------------------------------------------------


def test_an_answer_with_a_secret_is_not_kept(engineer: User) -> None:
    mine, key = api(engineer), {"Idempotency-Key": "a5f0"}
    webhook = {"medium": "webhook", "name": "ci", "address": "https://hooks.example.org/"}
    made = mine.post("/api/v1/notification-channels/", webhook, headers=key)
    assert made.json()["secret"].startswith("whsec_")
    kept = KeptAnswer.objects.get()
    assert (kept.status, kept.body, kept.secret) == (201, None, True)
    again = mine.post("/api/v1/notification-channels/", webhook, headers=key)
    assert code(again, 409) == "idempotency.secret_not_kept"
    rotated = mine.post(
        f"/api/v1/notification-channels/{made.json()['id']}/rotate-secret/", headers={"Idempotency-Key": "b"}
    )
    token = mine.post("/api/v1/tokens/", {"name": "x", "days": 1}, headers={"Idempotency-Key": "c"})
    dumped = str(list(KeptAnswer.objects.values()))
    assert rotated.json()["secret"] not in dumped
    assert token.json()["text"] not in dumped
    assert KeptAnswer.objects.filter(secret=True).count() == 3
