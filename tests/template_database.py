"""The test database is migrated once: processes that run tests side by side copy what the first of them has made.

A hundred migrations take longer than most files of tests. SQLite's copy is a file; PostgreSQL has templates of its own.
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
from pytest_django.plugin import blocking_manager_key

from tests.settings import VAR_DIR

TEMPLATE = VAR_DIR.parent / "template.sqlite3"
"""With PostgreSQL, a file that contains the name of the template."""


@pytest.fixture(scope="session")
def django_db_keepdb(
    request: pytest.FixtureRequest, django_db_modify_db_settings: None, django_db_blocker: Any
) -> bool:
    """Whether the database of this process is there already, which then keeps it: the folder ends with the run."""
    if not hasattr(request.config, "workerinput"):
        return bool(request.config.getvalue("reuse_db"))
    with _alone(TEMPLATE.with_suffix(".lock")):
        if not TEMPLATE.exists():
            with django_db_blocker.unblock():
                _make()
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["TEMPLATE"] = TEMPLATE.read_text()
        return False
    _copy(TEMPLATE, Path(settings.DATABASES["default"]["TEST"]["NAME"]))
    return True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """PostgreSQL's template goes when all processes have ended, by the one that has started them."""
    made = VAR_DIR / TEMPLATE.name
    if connection.vendor == "postgresql" and not hasattr(session.config, "workerinput") and made.exists():
        with session.config.stash[blocking_manager_key].unblock(), connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {connection.ops.quote_name(made.read_text())}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Until the end of the block, no other process is in one with the same lock."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make() -> None:
    made = setup_databases(verbosity=0, interactive=False, aliases=["default"])
    name, whole = str(connection.settings_dict["NAME"]), TEMPLATE.with_suffix(".part")
    if connection.vendor == "postgresql":
        template = f"{name.rpartition('_')[0]}_template"
        connection.close()
        quoted = connection.ops.quote_name
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted(template)}")
            cursor.execute(f"CREATE DATABASE {quoted(template)} TEMPLATE {quoted(name)}")
        whole.write_text(template)
    else:
        _copy(Path(name), whole)
    teardown_databases(made, verbosity=0)
    whole.rename(TEMPLATE)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
