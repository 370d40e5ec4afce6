"""A session goes on after its installation was restored from a backup that was made while it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management.color import no_style
from django.db import connection

from apps.agents.contracts.state import Outcome, Status
from apps.audit import trail
from apps.models.models import Blob
from apps.optimization import services, sweeper
from apps.optimization.models import OptimizationSession
from tests.optimization import crank

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.portable,  # The backup here is made of rows as SQLite gives them; PostgreSQL has tools of its own.
    pytest.mark.usefixtures("stored", "small_handlers", "impatient"),
]
Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


def dumped() -> Rows:
    """Every row of every table, as a database's own tool writes them."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - names of Django's own
            found[table] = [column[0] for column in cursor.description], cursor.fetchall()
    return found


def restore(backup: Rows) -> None:
    """Puts the rows of a backup in the place of all that the database has."""
    statements = connection.ops.sql_flush(no_style(), list(backup), reset_sequences=False, allow_cascade=False)
    connection.ops.execute_sql_flush(statements)
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table, (columns, rows) in backup.items():
            names = ", ".join(map(connection.ops.quote_name, columns))
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(
                f"INSERT INTO {connection.ops.quote_name(table)} ({names}) VALUES ({places})",  # noqa: S608
                rows,
            )
    connection.check_constraints()


@pytest.mark.parametrize("files_lost", [False, True])
def test_a_session_goes_on_from_its_last_finished_step_after_a_restore(
    session: OptimizationSession, files_lost: bool
) -> None:
    for _ in range(40):
        crank.turn()
        if (made := session.steps.filter(key="c01/optimize", status=Status.COMPLETED).first()) is not None:
            break
    backup = dumped()
    done = {one.key: one.finished_at for one in session.steps.filter(status=Status.COMPLETED)}
    assert made is not None
    artifact = made.artifact
    assert artifact is not None
    crank.turn_until_quiet()
    session.refresh_from_db()
    expected = session.verdict

    restore(backup)
    if files_lost:
        Path(default_storage.path(Blob.objects.get(pk=artifact.pk).storage_name)).unlink()
    restored = OptimizationSession.objects.get(pk=session.pk)
    assert restored.status not in (Status.COMPLETED, Status.FAILED)

    sweeper.sweep()
    crank.turn_until_quiet()

    restored.refresh_from_db()
    assert restored.outcome == Outcome.IMPROVED, restored.error
    assert restored.verdict is not None
    assert expected is not None
    assert restored.verdict["candidate"] == expected["candidate"]
    again = {one.key for one in restored.steps.all() if one.key in done and one.finished_at != done[one.key]}
    assert again == ({"c01/optimize"} if files_lost else set()), "only what was lost is made again"
    assert trail.verify() is None
    assert services.package_of(restored).blob.damaged_at is None
