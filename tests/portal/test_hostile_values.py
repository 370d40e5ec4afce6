"""Numbers that no column holds, NULs and other values that nobody means, at every route: refused, never a 500.

The routes, parameters and bodies come from the resolver, the filters and the API's own document, so new ones are tried
without a word here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.throttling import SimpleRateThrottle

from apps.accounts.models import Team, User
from apps.optimization.filters import SessionFilter
from apps.optimization.models import Worker
from tests.api.asking import JSON, address
from tests.api.contract import contract
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.django_db

LARGE = ("9" * 25, str(2**63), str(2**64 + 1))
WORDS = (*LARGE, f"-{LARGE[0]}", "a\x00b", "9" * 5000, "1e400", "nan")
IN_PATHS = (LARGE[0], LARGE[1], "9" * 400, "a%00b", "%ED%A0%80")
OF_PAGES = (
    "page",
    "ordering",
    "kind",
    "role",
    "from",
    "next",
    "search",
    "tag",
    "model",
    "version",
    "dataset",
    "actor",
    "action",
    "session",
)
"""Parameters of pages that stand in no filter."""
OTHERS = ("/api/", "/admin/", "/accounts/logout/")


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def client(owner: User, monkeypatch: pytest.MonkeyPatch) -> Client:
    """An owner and operator who may ask as often as there is something to ask, and sees a broken answer as a 500."""
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"anon": None, "user": None})
    owner.is_staff = owner.is_superuser = True
    owner.save()
    # /ready/ says 503 where a queue has no live worker.
    seen_at = timezone.now() + timedelta(hours=1)
    Worker.objects.create(name="all", queues=["default", "checks", "cpu"], seen_at=seen_at)
    client = Client(raise_request_exception=False)
    client.force_login(owner)
    return client


def patterns() -> Iterator[str]:
    """Every address below the root, with `{}` where a value stands."""

    def walk(found: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
        for pattern in found:
            written = re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]*>", "{}", str(pattern.pattern)).replace(r"\Z", "")
            path = before + re.sub(r"[\^$?]|\.\*|\\", "", written)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            else:
                yield path

    return walk(get_resolver().url_patterns, "/")


def broken(answers: Iterator[tuple[str, Any]]) -> str:
    """A line for each answer that is a 500."""
    return "\n".join(f"{answer.status_code} {what}" for what, answer in answers if answer.status_code >= 500)


def test_no_value_in_an_address_breaks_it(client: Client) -> None:
    def ask() -> Iterator[tuple[str, Any]]:
        for path, value in itertools.product(sorted(set(patterns())), IN_PATHS):
            if "{}" in path:
                methods = ("GET", "PATCH", "DELETE") if path.startswith("/api/") else ("GET", "POST")
                for method in methods[: 1 if path.startswith("/admin/") else None]:
                    where = path.replace("{}", value)
                    yield f"{method} {where[:90]}", client.generic(method, where, b"{}", JSON)

    assert len(list(patterns())) > 80
    assert not broken(ask())


def test_no_parameter_breaks_a_list(client: Client, everything: World) -> None:
    def ask() -> Iterator[tuple[str, Any]]:
        for method, path, operation in contract().operations():
            known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            for name, value in itertools.product(known, WORDS):
                where = address(path, everything)
                yield (
                    f"{where}?{name}={value[:20]!r}",
                    client.generic(method.upper(), f"{where}?{urlencode({name: value})}"),
                )

    assert not broken(ask())


def test_no_parameter_breaks_a_page(client: Client, everything: World) -> None:
    """All of them at once: a page passes over what it does not know."""
    known = {*OF_PAGES, *SessionFilter.base_filters}
    rows = [f"/sessions/{everything.session.pk}/", f"/models/{everything.model.pk}/"]

    def ask() -> Iterator[tuple[str, Any]]:
        for path, value in itertools.product([*plain_pages(), *rows], WORDS):
            yield f"{path} {value[:20]!r}", client.get(path, dict.fromkeys(known, value))

    assert not broken(ask())


def test_no_lookup_of_the_admin_breaks_its_list(client: Client) -> None:
    def ask() -> Iterator[tuple[str, Any]]:
        for path in sorted(set(patterns())):
            if re.fullmatch(r"/admin/\w+/\w+/", path):
                for query in (f"id__exact={LARGE[0]}", f"id__gt={LARGE[0]}", "id__exact=a%00b", f"p={LARGE[0]}"):
                    yield f"{path}?{query}", client.get(f"{path}?{query}")

    assert not broken(ask())


def plain_pages() -> list[str]:
    """The pages' addresses that hold no value."""
    return [path for path in sorted(set(patterns())) if "{}" not in path and not path.startswith(OTHERS)]


def test_no_value_in_a_form_breaks_its_page(client: Client, everything: World) -> None:
    fields = sorted(
        {
            *("model", "version", "dataset", "criteria_set", "team", "name", "email", "role", "days", "scope", "seed"),
            *("threads", "batch_size", "candidates", "minutes", "upload", "parent", "expected", "alias", "reason"),
            *("max_metric_drop_points", "description", "tags", "signature", "objective", "metric", "kind", "task"),
        }
    )
    rows = [
        f"/models/{everything.model.pk}/aliases/move/",
        f"/models/{everything.model.pk}/describe/",
        f"/datasets/{everything.dataset.pk}/describe/",
        f"/criteria/{everything.criteria.pk}/edit/",
        f"/sessions/{everything.session.pk}/promote/",
    ]

    def ask() -> Iterator[tuple[str, Any]]:
        for path, value in itertools.product([*plain_pages(), *rows], (*WORDS[:5], "")):
            yield f"POST {path} {value[:20]!r}", client.post(path, dict.fromkeys(fields, value))

    assert not broken(ask())


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer \xe9"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": r'sessionid="\000aaaaaaaaaaaaaa"'},
        {"Cookie": "sessionid=" + "9" * 5000},
        {"Upload-Offset": LARGE[0]},
        {"Range": f"bytes=0-{LARGE[0]}"},
    ],
    ids=ascii,
)
def test_no_header_breaks_a_route(everything: World, headers: dict[str, str]) -> None:
    client = Client(raise_request_exception=False)
    file = f"/api/v1/versions/{everything.version.pk}/file/"
    assert not broken((path, client.get(path, headers=headers)) for path in ("/", "/api/v1/me/", file, "/api/schema/"))
