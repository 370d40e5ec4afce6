"""Every address × who may enter, in one table. A new address without a row fails the first test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from apps.accounts import services
from apps.accounts.models import TokenScope, User
from tests.portal.standing import Standing
from tests.portal.world import World

pytestmark = pytest.mark.django_db

PAGES = ("accounts:", "guide:", "models:", "notifications:", "operations:", "optimization:")
API = "api:"


class Door(Enum):
    """Who gets in: anonymous, stranger, viewer, engineer, owner."""

    PUBLIC = "in in in in in"
    PRIVATE = "login in in in in"
    """Lists and forms of one's own: everybody sees their own."""
    READ = "login 404 in in in"
    WRITE_HERE = "login in 403 in in"
    """In the team one works in; the stranger is an owner of another."""
    OWN_HERE = "login in 403 403 in"
    WRITE = "login 404 403 in in"
    OWN = "login 404 403 403 in"
    MINE = "login 404 404 404 in"
    """Of the one person who made it: here the owner."""
    OPERATE = "login 403 403 403 403"
    """For operators, whatever their role: tests/lathe/test_operations.py."""

    def expected(self, person: str) -> str:
        return self.value.split()[PEOPLE.index(person)]


PEOPLE = ["anonymous", "stranger", "viewer", "engineer", "owner"]

PAGE_DOORS: dict[str, tuple[str, Door]] = {
    "accounts:team": ("GET", Door.PRIVATE),
    "accounts:team-switch": ("POST", Door.READ),
    "accounts:invite": ("POST", Door.OWN_HERE),
    "accounts:invitation-withdraw": ("POST", Door.OWN),
    "accounts:member-role": ("POST", Door.OWN),
    "accounts:member-code": ("POST", Door.OWN),
    "accounts:member-remove": ("POST", Door.OWN),
    "accounts:tokens": ("GET", Door.PRIVATE),
    "accounts:service-accounts": ("GET", Door.PRIVATE),
    "accounts:service-account-bulk": ("GET", Door.OWN_HERE),
    "accounts:service-account-create": ("POST", Door.OWN_HERE),
    "accounts:service-account": ("GET", Door.READ),
    "accounts:service-account-change": ("POST", Door.OWN),
    "accounts:service-token-create": ("POST", Door.OWN),
    "accounts:service-token-revoke": ("POST", Door.OWN),
    "accounts:logins": ("GET", Door.PRIVATE),
    "accounts:logins-end-others": ("POST", Door.PRIVATE),
    "accounts:login-end": ("POST", Door.MINE),
    "accounts:time-zone": ("POST", Door.PRIVATE),
    "accounts:token-bulk": ("GET", Door.PRIVATE),
    "accounts:token-create": ("POST", Door.PRIVATE),
    "accounts:filter-save": ("POST", Door.PRIVATE),
    "accounts:filter-delete": ("POST", Door.OWN),
    "accounts:list-columns": ("POST", Door.PRIVATE),
    "guide:find": ("GET", Door.PRIVATE),
    "guide:documents": ("GET", Door.PRIVATE),
    "guide:document": ("GET", Door.PRIVATE),
    "guide:file": ("GET", Door.PRIVATE),
    "guide:tour": ("POST", Door.WRITE_HERE),
    "models:model-list": ("GET", Door.PRIVATE),
    "models:model-upload": ("POST", Door.WRITE_HERE),
    "models:model-detail": ("GET", Door.READ),
    "models:model-describe": ("POST", Door.WRITE),
    "models:model-delete": ("POST", Door.WRITE),
    "models:model-card": ("POST", Door.WRITE),
    "models:alias-move": ("POST", Door.WRITE),
    "models:alias-undo": ("POST", Door.WRITE),
    "models:alias-protect": ("POST", Door.OWN),
    "models:approval-list": ("GET", Door.PRIVATE),
    "models:approval-decide": ("POST", Door.WRITE),
    "models:approval-withdraw": ("POST", Door.OWN),
    "models:version-detail": ("GET", Door.READ),
    "models:version-status": ("GET", Door.READ),
    "models:version-describe": ("POST", Door.WRITE),
    "models:version-signature": ("POST", Door.WRITE),
    "models:version-delete": ("POST", Door.WRITE),
    "models:version-graph": ("GET", Door.READ),
    "models:version-graph-frame": ("GET", Door.READ),
    "models:version-file": ("GET", Door.READ),
    "models:model-bulk": ("GET", Door.WRITE_HERE),
    "models:dataset-list": ("GET", Door.PRIVATE),
    "models:dataset-upload": ("POST", Door.WRITE_HERE),
    "models:dataset-bulk": ("GET", Door.WRITE_HERE),
    "models:dataset-detail": ("GET", Door.READ),
    "models:dataset-status": ("GET", Door.READ),
    "models:dataset-describe": ("POST", Door.WRITE),
    "models:dataset-delete": ("POST", Door.WRITE),
    "models:dataset-file": ("GET", Door.READ),
    "notifications:list": ("GET", Door.PRIVATE),
    "notifications:read": ("POST", Door.PRIVATE),
    "notifications:follow": ("GET", Door.MINE),
    "notifications:settings": ("GET", Door.PRIVATE),
    "notifications:new": ("POST", Door.PRIVATE),
    "notifications:channel": ("GET", Door.READ),
    "notifications:channel-change": ("POST", Door.OWN),
    "notifications:channel-remove": ("POST", Door.OWN),
    "notifications:channel-rotate": ("POST", Door.OWN),
    "notifications:channel-test": ("POST", Door.OWN),
    "notifications:deliveries": ("GET", Door.PRIVATE),
    "notifications:delivery-bulk": ("GET", Door.PRIVATE),
    "notifications:delivery-replay": ("POST", Door.OWN),
    "optimization:dashboard": ("GET", Door.PRIVATE),
    "optimization:dismiss": ("POST", Door.READ),
    "optimization:session-list": ("GET", Door.PRIVATE),
    "optimization:session-new": ("POST", Door.WRITE_HERE),
    "optimization:session-bulk": ("GET", Door.WRITE_HERE),
    "optimization:session-compare": ("POST", Door.WRITE_HERE),
    "optimization:compare": ("GET", Door.PRIVATE),
    "optimization:session-preview": ("GET", Door.PRIVATE),
    "optimization:session-edit": ("POST", Door.PRIVATE),
    "optimization:session-chain": ("POST", Door.PRIVATE),
    "optimization:session-layers": ("POST", Door.PRIVATE),
    "optimization:session-choices": ("GET", Door.PRIVATE),
    "optimization:session-decides": ("GET", Door.PRIVATE),
    "optimization:session-detail": ("GET", Door.READ),
    "optimization:session-cancel": ("POST", Door.WRITE),
    "optimization:session-retry": ("POST", Door.WRITE),
    "optimization:session-resume": ("POST", Door.WRITE),
    "optimization:session-continue": ("POST", Door.WRITE),
    "optimization:session-delete": ("POST", Door.WRITE),
    "optimization:report": ("GET", Door.READ),
    "optimization:report-pdf": ("GET", Door.READ),
    "optimization:comment-write": ("POST", Door.WRITE),
    "optimization:comment-edit": ("GET", Door.OWN),
    "optimization:comment-delete": ("POST", Door.OWN),
    "optimization:report-links": ("GET", Door.READ),
    "optimization:report-link-revoke": ("POST", Door.WRITE),
    "optimization:session-answers": ("GET", Door.READ),
    "optimization:session-answers-picture": ("GET", Door.READ),
    "optimization:session-layer-table": ("GET", Door.READ),
    "optimization:session-log-text": ("GET", Door.READ),
    "optimization:session-log-lines": ("GET", Door.READ),
    "optimization:session-recipe": ("GET", Door.READ),
    "optimization:session-card": ("GET", Door.READ),
    "optimization:session-package": ("GET", Door.READ),
    "optimization:session-file": ("GET", Door.READ),
    "optimization:session-measure": ("POST", Door.WRITE),
    "optimization:session-take": ("POST", Door.WRITE),
    "optimization:session-promote": ("POST", Door.WRITE),
    "optimization:session-rollback": ("POST", Door.WRITE),
    "optimization:session-template": ("POST", Door.WRITE),
    "optimization:template-list": ("GET", Door.PRIVATE),
    "optimization:template-bulk": ("GET", Door.WRITE_HERE),
    "optimization:template-detail": ("GET", Door.READ),
    "optimization:template-change": ("POST", Door.WRITE),
    "optimization:template-start": ("POST", Door.WRITE),
    "optimization:template-delete": ("POST", Door.WRITE),
    "optimization:criteria-list": ("GET", Door.PRIVATE),
    "optimization:criteria-new": ("POST", Door.WRITE_HERE),
    "optimization:criteria-detail": ("GET", Door.READ),
    "optimization:criteria-edit": ("POST", Door.WRITE),
    "optimization:criteria-default": ("POST", Door.WRITE),
    "optimization:predictions": ("GET", Door.PRIVATE),
    "optimization:storage": ("GET", Door.PRIVATE),
    "optimization:retention": ("POST", Door.OWN_HERE),
    "optimization:workers": ("GET", Door.PRIVATE),
    "optimization:audit": ("GET", Door.PRIVATE),
    "operations:page": ("GET", Door.OPERATE),
    "operations:resume": ("POST", Door.OPERATE),
    "operations:verify": ("POST", Door.OPERATE),
}
ELSEWHERE = {
    "guide:styleguide": "for operators, whatever their role: tests/guide/test_styleguide.py",
    "optimization:shared-report": "opened by its link's token: tests/optimization/test_sharing.py",
    "optimization:shared-report-pdf": "opened by its link's token: tests/optimization/test_report_pdf.py",
    "notifications:unsubscribe": "opened by the token of a mail: tests/notifications/test_outbox.py",
    "accounts:invitation-accept": "opened by its link's token, not by a role: tests/accounts/test_teams.py",
    "accounts:token-revoke": "only one's own, whatever the role: tests/accounts/test_tokens.py",
}


def addresses(resolver: URLResolver | None = None, namespace: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every named address of Lathe's own with its view: `namespace:name`."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, f"{pattern.namespace}:" if pattern.namespace else namespace)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield f"{namespace}{pattern.name}", pattern.callback


def arguments(name: str, world: World) -> list[Any]:
    """What the address of `name` needs, from one of everything."""
    if name.startswith("models:version"):
        return [world.model.pk, world.version.number]
    if name == "optimization:dismiss":
        return ["session", world.session.pk]
    if name in ("models:alias-undo", "models:alias-protect"):
        return [world.model.pk, world.alias.name]
    if name in ("optimization:comment-edit", "optimization:comment-delete"):
        return [world.session.pk, world.comment.pk]
    if name == "optimization:report-link-revoke":
        return [world.session.pk, world.link.pk]
    if name.endswith("session-answers-picture"):
        return [world.session.pk, "c01", "3704.png"]
    if name in ("accounts:service-token-revoke", "api:service-account-token"):
        return [world.service.pk, world.service_token.token_key]
    owners = {
        "guide:documents": None,
        "guide:document": "user-guide",
        "guide:file": "images/plan.png",
        "models:model-upload": None,
        "models:model-bulk": None,
        "models:dataset-upload": None,
        "models:dataset-bulk": None,
        "models:model": world.model.pk,
        "models:alias": world.model.pk,
        "models:dataset": world.dataset.pk,
        "optimization:session-new": None,
        "optimization:session-bulk": None,
        "optimization:session-compare": None,
        "optimization:session-preview": None,
        "optimization:session-edit": None,
        "optimization:session-chain": None,
        "optimization:session-layers": None,
        "optimization:session-choices": None,
        "optimization:session-decides": None,
        "optimization:session": world.session.pk,
        "optimization:comment-write": world.session.pk,
        "optimization:report": world.session.pk,
        "optimization:template-bulk": None,
        "optimization:template": world.template.pk,
        "optimization:criteria-new": None,
        "optimization:criteria": world.criteria.pk,
        "accounts:filter-save": "sessions",
        "accounts:filter-delete": world.saved.pk,
        "accounts:list-columns": "sessions",
        "accounts:invitation": world.invitation.pk,
        "accounts:member": world.membership.pk,
        "accounts:service-accounts": None,
        "accounts:service-account-bulk": None,
        "accounts:service-account-create": None,
        "accounts:service": world.service.pk,
        "accounts:logins": None,
        "accounts:login": world.login.pk,
        "models:approval": world.request.pk,
        "api:approval": world.request.pk,
        "api:member": world.membership.pk,
        "api:invitation": world.invitation.pk,
        "api:login-end-others": None,
        "api:login": world.login.pk,
        "api:token": world.token.token_key,
        "api:service-account": world.service.pk,
        "api:team": world.team.slug,
        "api:model-bulk": None,
        "api:model": world.model.pk,
        "api:version": world.version.pk,
        "api:alias": world.alias.pk,
        "api:dataset-bulk": None,
        "api:dataset": world.dataset.pk,
        "api:upload": world.upload.pk,
        "api:criteria-check": None,
        "api:criteria": world.criteria.pk,
        "api:session-bulk": None,
        "api:session-compare": None,
        "api:session-preview": None,
        "api:session": world.session.pk,
        "api:report-link": world.link.pk,
        "api:comment": world.comment.pk,
        "api:template": world.template.pk,
        "api:saved-filter": world.saved.pk,
        "api:audit-chain": None,
        "api:audit": world.event.sequence,
        "notifications:follow": world.entry.pk,
        "notifications:channel": world.channel.pk,
        "notifications:delivery-bulk": None,
        "notifications:delivery": world.delivery.pk,
        "api:notification-channel": world.channel.pk,
        "api:notification-delivery": world.delivery.pk,
        "api:notification-read-all": None,
        "api:notification": world.entry.pk,
    }
    if name.endswith("-list"):
        return []
    found = next((value for prefix, value in owners.items() if name.startswith(prefix)), None)
    return [] if found is None else [found]


@pytest.fixture
def everything(standing: Standing) -> World:
    return standing.everything


@pytest.fixture
def people(standing: Standing) -> dict[str, User | None]:
    return {
        "anonymous": None,
        **{name: getattr(standing, name) for name in ("stranger", "viewer", "engineer", "owner")},
    }


def outcome(status: int, location: str) -> str:
    if status in (401, 302) and (status == 401 or location.startswith("/accounts/login/")):
        return "login"
    return str(status) if status in (401, 403, 404, 405) or status >= 500 else "in"


def test_every_page_stands_in_the_table() -> None:
    pages = {name for name, _view in addresses() if name.startswith(PAGES)}
    assert pages == set(PAGE_DOORS) | set(ELSEWHERE)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("name", PAGE_DOORS)
def test_a_page_opens_for_whom_the_table_says(
    client: Client, everything: World, people: dict[str, User | None], name: str, person: str
) -> None:
    method, door = PAGE_DOORS[name]
    if user := people[person]:
        client.force_login(user)
    body = {"team": everything.team.slug} if name == "accounts:team-switch" else {}
    address = reverse(name, args=arguments(name, everything))
    response = client.post(address, body) if method == "POST" else client.get(address)
    assert outcome(response.status_code, response.headers.get("Location", "")) == door.expected(person)


VERBS = ("get", "post", "put", "patch", "delete")
SAFE = ("get", "head", "options")
OF_NO_ROW = (
    "api:api-root",
    "api:audit-chain",
    "api:find",
    "api:compare",
    "api:default-criteria",
    "api:list-columns",
    "api:me",
    "api:predictions",
    "api:storage",
    "api:technique",
    "api:trend",
    "api:worker",
)


def body_for(name: str, world: World) -> dict[str, Any]:
    """What a write needs to get as far as the question who may do it."""
    row = {"model": world.model.pk, "version": world.version.pk, "dataset": world.dataset.pk, "name": "new"}
    spec = {"kind": "npz", "task": "classification"}
    return {
        "api:criteria-list": {"name": "new", "criteria": {}, "body": {}},
        "api:criteria-check": {"criteria_set": world.criteria.pk},
        "api:criteria-resolve": {"resolutions": ["weights_unused/balance"]},
        "api:dataset-list": {"name": "new", "spec": spec, "upload": str(world.upload.pk)},
        "api:session-list": {**row, "criteria_set": world.criteria.pk},
        "api:session-compare": {**row, "compared": world.version.pk, "criteria_set": world.criteria.pk},
        "api:session-preview": {**row, "criteria_set": world.criteria.pk},
        "api:session-bulk": {"act": "delete", "sessions": [str(world.session.pk)]},
        "api:model-bulk": {"act": "delete", "models": [world.model.pk]},
        "api:dataset-bulk": {"act": "delete", "datasets": [world.dataset.pk]},
        "api:session-take": {"candidate": "c02"},
        "api:invitation-list": {"email": "new@example.org"},
        "api:member-detail": {"role": "viewer"},
        "api:approval-approve": {"reason": "It holds every limit."},
        "api:approval-reject": {"reason": "It is slower."},
        "api:alias-detail": {"protected": True},
        "api:session-rollback": {"reason": "It was slower in production."},
        "api:notification-channel-list": {"medium": "webhook", "name": "new", "address": "https://hooks.example.org/"},
        "api:saved-filter-list": {"list": "sessions", "name": "new", "query": "status=failed"},
        "api:list-columns": {"list": "sessions", "columns": ["status"]},
        "api:dismissal-list": {"session": str(world.session.pk)},
        "api:comment-list": {"session": str(world.session.pk), "text": "Well done."},
        "api:comment-detail": {"text": "Well done."},
        "api:template-list": {"session": str(world.session.pk), "name": "Nightly"},
        "api:report-link-list": {"session": str(world.session.pk), "days": 7},
        "api:upload-list": {"filename": "new.onnx", "size_bytes": 3},
        "api:version-list": {"model": world.model.pk, "upload": str(world.upload.pk)},
        "api:version-detail": {"description": "new"},
    }.get(name, row)


def api_endpoints() -> list[tuple[str, str]]:
    """Every route of the API with each method that it answers."""
    found = []
    for name, view in addresses():
        if not name.startswith(API):
            continue
        methods = getattr(view, "actions", None) or [name for name in VERBS if hasattr(view.cls, name)]
        found.extend((name, method) for method in methods if method != "head")
    return sorted(set(found))


def api_door(name: str, method: str) -> Door:
    if name.startswith("api:upload") and not name.endswith("-list"):
        return Door.MINE
    if name.startswith("api:notification"):
        return notification_door(name, method)
    if (name, method) in PEOPLE_DOORS:
        return PEOPLE_DOORS[name, method]
    if name.startswith("api:operations"):
        return Door.OPERATE
    if name in ("api:session-preview", "api:criteria-check"):
        return Door.READ
    if method in SAFE:
        return Door.PRIVATE if name.endswith("-list") or name.startswith(OF_NO_ROW) else Door.READ
    # A new row belongs to the caller's own team; the stranger's body names rows of another.
    return Door.WRITE_HERE if name in NEW_HERE else Door.WRITE


def notification_door(name: str, method: str) -> Door:
    """A bell is one's own, a team's channels are its owners', and everybody may add a channel of their own."""
    if name.endswith("-list") or name == "api:notification-read-all":
        return Door.PRIVATE
    if not name.startswith(("api:notification-channel", "api:notification-delivery")):
        return Door.MINE
    return Door.READ if method in SAFE else Door.OWN


PEOPLE_DOORS = {
    ("api:me", "patch"): Door.PRIVATE,
    ("api:list-columns", "patch"): Door.PRIVATE,
    ("api:saved-filter-list", "post"): Door.PRIVATE,
    ("api:saved-filter-detail", "delete"): Door.OWN,
    ("api:default-criteria", "patch"): Door.PRIVATE,
    ("api:storage", "patch"): Door.OWN_HERE,
    ("api:dismissal-list", "post"): Door.READ,
    ("api:member-detail", "get"): Door.READ,
    ("api:member-detail", "patch"): Door.OWN,
    ("api:member-detail", "delete"): Door.OWN,
    ("api:invitation-list", "post"): Door.OWN_HERE,
    ("api:invitation-detail", "get"): Door.OWN,
    ("api:invitation-detail", "delete"): Door.OWN,
    ("api:login-detail", "get"): Door.MINE,
    ("api:login-detail", "delete"): Door.MINE,
    ("api:login-end-others", "post"): Door.PRIVATE,
    ("api:token-list", "post"): Door.PRIVATE,
    ("api:token-detail", "get"): Door.MINE,
    ("api:token-detail", "delete"): Door.MINE,
    ("api:service-account-list", "post"): Door.OWN_HERE,
    ("api:service-account-detail", "patch"): Door.OWN,
    ("api:service-account-tokens", "get"): Door.OWN,
    ("api:service-account-tokens", "post"): Door.OWN,
    ("api:service-account-token", "delete"): Door.OWN,
    ("api:alias-detail", "patch"): Door.OWN,
    ("api:approval-withdraw", "post"): Door.OWN,
    ("api:comment-detail", "patch"): Door.OWN,  # the owner wrote it
    ("api:comment-detail", "delete"): Door.OWN,
}
"""Of the routes about people, what acts for them, and what is theirs or their team's."""
NEW_HERE = ("api:model-list", "api:dataset-list", "api:criteria-list", "api:upload-list")


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("name", "method"), api_endpoints())
def test_a_route_of_the_api_opens_for_whom_the_table_says(
    client: Client, everything: World, people: dict[str, User | None], name: str, method: str, person: str
) -> None:
    headers = {}
    if user := people[person]:
        token = services.create_token(user, name="all", scope=TokenScope.WRITE, days=1)[1]
        headers = {"Authorization": f"Bearer {token}"}
    address = reverse(name, args=arguments(name, everything))
    body = json.dumps(body_for(name, everything))
    response = client.generic(method.upper(), address, body, content_type="application/json", headers=headers)
    expected = api_door(name, method).expected(person)
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        assert response.json()["code"]
    assert outcome(response.status_code, "") == expected, response.content[:300]
