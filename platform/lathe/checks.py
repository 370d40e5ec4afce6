"""Lathe's own checks for `manage.py check` and `check --deploy`."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags

from apps.agents.contracts.errors.packaging import SigningKeyUnusable
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.sandbox import OPENING_QUEUES, Sandbox, SandboxRule
from apps.agents.packaging.signing import public_digest
from apps.agents.sandbox.walls.closing import means
from apps.agents.sandbox.walls.reach import readable
from lathe.env import PROJECT_ROOT, Environment

# Variables that only the tests read.
FOR_TESTS = ("LATHE_TEST_", "LATHE_CI_", "LATHE_ASSETS")


def misspelt(variables: Mapping[str, str], known: frozenset[str]) -> Iterator[CheckMessage]:
    """Warns about `LATHE_…` variables that nothing reads."""
    for name in sorted(variables):
        if name.startswith("LATHE_") and name not in known and not name.startswith(FOR_TESTS):
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else "docs/deployment.md lists the variables."
            yield checks.Warning(f"{name} is set, but Lathe has no such variable.", hint=hint, id="lathe.W001")


def hidden_standard_library(root: Path) -> Iterator[CheckMessage]:
    """Reports `platform/__init__.py`, which would hide Python's own `platform` module."""
    if (root / "platform" / "__init__.py").exists():
        yield checks.Error(
            "platform/__init__.py exists and hides Python's own module of that name.",
            hint="Delete it: platform/ is a source root, not a package.",
            id="lathe.E001",
        )


def unwritable(folder: Path) -> Iterator[CheckMessage]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield checks.Error(
            f"Lathe cannot write to {folder}: {error.strerror}.",
            hint="Give the user that runs Lathe access to the folder, or set LATHE_VAR_DIR to another one.",
            id="lathe.E002",
        )


def unusable_signing_key(key: Path | None) -> Iterator[CheckMessage]:
    """Reports a key that cannot sign packages, or that uploaded code could read."""
    if key is None:
        return
    try:
        public_digest(key)
    except SigningKeyUnusable as error:
        yield checks.Error(
            error.message,
            hint="openssl ecparam -genkey -name prime256v1 -noout -out KEY.pem makes one. Without the variable, "
            "packages are not signed.",
            id="lathe.E003",
        )
    if readable(key):
        yield checks.Error(
            f"LATHE_SIGNING_KEY is {key}, among the libraries that uploaded code may read.",
            hint="Put the key outside /usr and Python's own folders, such as in /etc/lathe.",
            id="lathe.E004",
        )


def unfit_for_a_team(environment: Environment) -> Iterator[CheckMessage]:
    """Warns about settings that work only on a single machine."""
    if environment.secret_key is None:
        yield checks.Warning(
            "LATHE_SECRET_KEY is not set: each machine generates its own key, and logins on one are not valid on "
            "another.",
            hint="Set LATHE_SECRET_KEY to the same 50 or more random characters on all machines.",
            id="lathe.W002",
        )
    if environment.redis_is_embedded:
        yield checks.Warning(
            "REDIS_URL is not set: the bundled Redis serves this machine only.",
            hint="Set REDIS_URL, such as redis://redis:6379/0.",
            id="lathe.W003",
        )
    if environment.database_url.startswith("sqlite:"):
        yield checks.Warning(
            "DATABASE_URL is not set to PostgreSQL: SQLite serves this machine only.",
            hint="Set DATABASE_URL, such as postgres://user:password@host:5432/lathe.",
            id="lathe.W004",
        )
    if not environment.uses_tls:
        yield checks.Warning(
            "LATHE_BASE_URL does not begin with https: passwords and tokens are sent in plain text.",
            hint="Put a proxy with TLS in front and set LATHE_BASE_URL to its address (docs/deployment.md).",
            id="lathe.W005",
        )

    if environment.behind_proxy and not environment.trusted_proxies:
        yield checks.Warning(
            "LATHE_TRUSTED_PROXIES is not set: behind the proxy, all members have the same address, and one who "
            "mistypes a password often enough locks everyone out.",
            hint="Set LATHE_TRUSTED_PROXIES to the proxy's address as seen by Lathe (docs/deployment.md).",
            id="lathe.W006",
        )


def open_to_uploads(environment: Environment, sandbox: Sandbox) -> Iterator[CheckMessage]:
    """Warns if what members upload can reach more of this machine than its own files."""
    if sandbox.gaps:
        yield checks.Warning(
            f"The sandbox of steps is {sandbox.level.value} here: uploaded code could {listed(sandbox.gaps)}.",
            hint="Take LATHE_SANDBOX=off away, unless a driver does not run inside (docs/security.md)."
            if environment.sandbox is SandboxRule.OFF
            else "Run workers where the kernel has what is named, and set LATHE_SANDBOX=required (docs/security.md).",
            id="lathe.W007",
        )
    if readable(environment.var_dir):
        yield checks.Warning(
            f"LATHE_VAR_DIR is {environment.var_dir}, among the libraries that uploaded code may read.",
            hint="Set LATHE_VAR_DIR to a folder outside /usr and Python's own folders, such as /var/lib/lathe.",
            id="lathe.W008",
        )


@checks.register(Tags.compatibility)
def check_installation(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    environment: Environment = settings.LATHE
    return [
        *hidden_standard_library(PROJECT_ROOT),
        *misspelt(os.environ, environment.names),
        *unwritable(environment.var_dir),
        *unusable_signing_key(environment.signing_key),
    ]


@checks.register(Tags.security, deploy=True)
def check_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    environment: Environment = settings.LATHE
    opens_uploads = not OPENING_QUEUES.isdisjoint(environment.queues)
    return [
        *unfit_for_a_team(environment),
        *(open_to_uploads(environment, means(environment.sandbox)) if opens_uploads else ()),
    ]
