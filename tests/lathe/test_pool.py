"""Connections that a process keeps: used again, replaced when their server has gone, and no more than there may be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from lathe import addresses
from lathe.errors import DATABASE_AWAY

pytestmark = pytest.mark.services

ALIAS = "pooled"
MOST = 2


def address() -> str:
    found = os.environ.get("LATHE_TEST_DATABASE_URL", "")
    if not found:
        pytest.skip("LATHE_TEST_DATABASE_URL is not set")
    return found


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[list[DatabaseWrapper]]:
    """As each thread of a process has one. No row is written, so no database of tests is needed."""
    monkeypatch.setattr(addresses, "POOL_PATIENCE_S", 0.3)
    usual = {"TIME_ZONE": None, "CONN_MAX_AGE": 0, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
    settings = usual | addresses.database(f"{address()}?pool={MOST}")
    threads = [DatabaseWrapper(settings, ALIAS) for _ in range(MOST + 1)]
    with django_db_blocker.unblock():
        yield threads
        threads[0].close_pool()


def server_of(thread: DatabaseWrapper) -> int:
    """The process of the server that answers its query, after which the thread gives its connection back."""
    try:
        with thread.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])
    finally:
        thread.close()


def test_requests_one_after_the_other_use_one_connection(pooled: list[DatabaseWrapper]) -> None:
    assert len({server_of(thread) for thread in pooled * 5}) == 1


def test_a_connection_that_has_lost_its_server_is_replaced_before_it_is_used(pooled: list[DatabaseWrapper]) -> None:
    lost = server_of(pooled[0])
    with psycopg.connect(address(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (lost,))
    assert server_of(pooled[1]) != lost


def test_where_all_are_taken_the_database_is_away_and_comes_back(pooled: list[DatabaseWrapper]) -> None:
    with ExitStack() as taken:
        for thread in pooled[:MOST]:
            thread.ensure_connection()
            taken.callback(thread.close)
        with pytest.raises(OperationalError) as caught:
            server_of(pooled[MOST])
        assert isinstance(caught.value, DATABASE_AWAY)
    assert server_of(pooled[MOST])
