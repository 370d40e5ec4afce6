"""How the tables are emptied after a test that has committed.

Content types and permissions stay: they follow from the models alone, and making them anew after each such test takes
longer than most tests. The built-in criteria, which migrations made, come back. PostgreSQL's other tables are emptied
by DELETE, as they have few rows: TRUNCATE gives each table new files and waits until the disk has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connection


@pytest.fixture(scope="session", autouse=True)
def _tables_are_emptied_cheaply() -> Iterator[None]:
    operations = type(connection.ops)
    install = import_module("apps.optimization.migrations.0002_built_in_criteria").install
    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(operations, "sql_flush", _deleting(operations.sql_flush))
        patch.setattr(flush, "sql_flush", _statements)
        # Its receivers would make what was kept.
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: install(apps, None))
        yield


def _statements(style: Any, connection: Any, **options: Any) -> list[str]:
    """For all tables but those of content types and permissions."""
    kept = {ContentType._meta.db_table, Permission._meta.db_table}
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    statements: list[str] = connection.ops.sql_flush(style, [one for one in tables if one not in kept], **options)
    return statements


def _deleting(truncate: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """`sql_flush` with DELETE. Foreign keys are checked when all tables are empty, as Django makes them deferrable."""

    def sql_flush(self: Any, style: Any, tables: list[str], *, reset_sequences: bool = False, **options: Any) -> Any:
        if reset_sequences:
            return truncate(self, style, tables, reset_sequences=True, **options)
        return [f"DELETE FROM {self.quote_name(table)};" for table in tables]  # noqa: S608 - names of Django's own

    return sql_flush
