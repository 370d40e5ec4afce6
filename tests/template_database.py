"""The test database is migrated once: processes that run tests side by side copy what the first of them has made.

A hundred migrations take longer than most files of tests. On PostgreSQL each process migrates a database of its own.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from tests.settings import VAR_DIR


@pytest.fixture(scope="session")
def django_db_keepdb(
    request: pytest.FixtureRequest, django_db_modify_db_settings: None, django_db_blocker: Any
) -> bool:
    """Whether the database of this process is there already, which then keeps it: the folder ends with the run."""
    if connection.vendor != "sqlite" or not hasattr(request.config, "workerinput"):
        return bool(request.config.getvalue("reuse_db"))
    template = VAR_DIR.parent / "template.sqlite3"
    with _alone(template.with_suffix(".lock")):
        if not template.exists():
            with django_db_blocker.unblock():
                _make(template)
    _copy(template, Path(settings.DATABASES["default"]["TEST"]["NAME"]))
    return True


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Until the end of the block, no other process is in one with the same lock."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make(template: Path) -> None:
    made = setup_databases(verbosity=0, interactive=False, aliases=["default"])
    whole = template.with_suffix(".part")
    _copy(Path(connection.settings_dict["NAME"]), whole)
    teardown_databases(made, verbosity=0)
    whole.rename(template)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
