"""The database of the last release, with data in it, is brought to this one, and every page opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from apps.accounts.models import Team, User
from apps.audit import trail
from apps.models.models import ModelVersion
from apps.optimization.models import OptimizationSession, PipelineSettings
from tests.optimization.test_restored import Rows, dumped
from tests.portal import world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

RELEASED = (
    ("notifications", "0003_models_that_decay"),
    ("optimization", "0027_default_limits_of_errors"),
    ("models", "0011_readme_of_a_model"),
    ("accounts", "0004_user_time_zone"),
)
"""The last migration of each app in the release before."""
MOST_PAGES = 150
_LINK = re.compile(r'(?:href|hx-get)="(/[^"#]*)')
_NO_PAGES = re.compile(
    r"^/(static|accounts/logout|docs|api/(docs|schema))|/(download|package|file)s?/|\.(csv|zip|json)"
)


def migrate_to(*aims: tuple[str, str]) -> None:
    MigrationExecutor(connection).migrate(list(aims))


@pytest.fixture
def latest() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def empty() -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    kept = ("django_migrations", "django_content_type", "auth_permission")
    statements = connection.ops.sql_flush(
        no_style(), [name for name in tables if name not in kept], allow_cascade=False
    )
    connection.ops.execute_sql_flush(statements)


def put_in(rows: Rows) -> None:
    """Fills the tables that there are, and of them the columns that there are."""
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        for table, (columns, content) in rows.items():
            if table not in there or table in ("django_content_type", "auth_permission"):
                continue
            known = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            kept = [number for number, name in enumerate(columns) if name in known]
            names = ", ".join(connection.ops.quote_name(columns[number]) for number in kept)
            places = ", ".join(["%s"] * len(kept))
            query = f"INSERT INTO {connection.ops.quote_name(table)} ({names}) VALUES ({places})"  # noqa: S608
            cursor.executemany(query, [[row[number] for number in kept] for row in content])
    connection.check_constraints()


def broken_pages(client: Client) -> dict[str, int]:
    """What is wrong of the pages that links lead to, one after the other, from the dashboard on."""
    ahead, seen, broken = ["/"], {"/"}, {}
    while ahead:
        path = ahead.pop(0)
        answer = client.get(path)
        if answer.status_code >= 400:
            broken[path] = answer.status_code
        if answer.streaming or "html" not in answer.get("Content-Type", ""):
            continue
        links = (found.replace("&amp;", "&") for found in _LINK.findall(answer.content.decode()))
        new = [link for link in dict.fromkeys(links) if link not in seen and not _NO_PAGES.search(link)]
        new = new[: MOST_PAGES - len(seen)]
        seen.update(new)
        ahead += new
    assert len(seen) > 30, seen
    return broken


@pytest.mark.portable  # Rows are put in as SQLite gives them.
@pytest.mark.usefixtures("latest")
def test_a_database_of_the_release_before_is_brought_to_this_one_with_all_that_is_in_it(
    team: Team, owner: User, client: Client, settings: Any
) -> None:
    made = world.build(team, owner)
    PipelineSettings.current()
    rows, report = dumped(), client_report(client, owner, made.session)
    empty()
    migrate_to(*RELEASED)
    put_in(rows)

    call_command("migrate", verbosity=0)

    assert trail.verify() is None
    assert ModelVersion.objects.get(pk=made.version.pk).metadata.summary
    assert PipelineSettings.current().breaker_failures > 0
    assert client_report(client, owner, made.session) == report
    assert broken_pages(client) == {}


def client_report(client: Client, person: User, session: OptimizationSession) -> dict[str, Any]:
    """What the API says of a finished session."""
    client.force_login(User.objects.get(pk=person.pk))
    answer = client.get(f"/api/v1/sessions/{session.pk}/report/")
    assert answer.status_code == 200, answer.content[:500]
    return dict(answer.json())
