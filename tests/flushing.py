"""How PostgreSQL's tables are emptied after a test that has committed: by DELETE, as they have few rows.

TRUNCATE gives each table new files and waits until the disk has them, which takes longer than most tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection


@pytest.fixture(scope="session", autouse=True)
def _tables_are_emptied_by_delete() -> Iterator[None]:
    operations = type(connection.ops)
    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(operations, "sql_flush", _deleting(operations.sql_flush))
        yield


def _deleting(truncate: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """`sql_flush` with DELETE. Foreign keys are checked when all tables are empty, as Django makes them deferrable."""

    def sql_flush(self: Any, style: Any, tables: list[str], *, reset_sequences: bool = False, **options: Any) -> Any:
        if reset_sequences:
            return truncate(self, style, tables, reset_sequences=True, **options)
        return [f"DELETE FROM {self.quote_name(table)};" for table in tables]  # noqa: S608 - names of Django's own

    return sql_flush
