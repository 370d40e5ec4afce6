"""This machine: its settings, what Lathe needs to be ready, disk, clock, static files and mail."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core import checks as django_checks
from django.core import mail
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage, default_storage

from apps.agents.contracts.phrasing import listed, number_of_bytes
from apps.models import clock
from lathe import readiness
from lathe.doctor.findings import Finding, failed, ok, warning
from lathe.errors import DATABASE_AWAY

MENDS = {
    "database": "Start PostgreSQL, and compare host, user and password with DATABASE_URL. The reason is in the log.",
    "redis": "Start Redis, and compare host, user and password with REDIS_URL (docs/deployment.md, Redis).",
    "store": "Give this user access to the folder or bucket in STORAGE_URL. The reason is in the log.",
    "migrations": "Run manage.py migrate with this version's image, before web and workers start.",
    "workers": "Start a worker with these LATHE_QUEUES, or take them out of LATHE_NEEDED_QUEUES.",
}
"""What to do about a check of `/ready/` that fails."""
STATIC_FILES = ("lathe.css", "django_htmx/htmx-2.min.js", "admin/css/base.css", "vendor/netron/index.html")
"""One of each source of static files."""
NO_TLS = "lathe.W005"
FOLLOW_FROM_NO_TLS = frozenset({"security.W004", "security.W008", "security.W012", "security.W016"})
"""What Django says about redirects, HSTS and cookies, all of which LATHE_BASE_URL switches on."""
LEAST_FREE_BYTES = 2**30
LARGEST_SKEW_S = 2.0
"""How far clocks may be apart. Codes of a second factor are valid for 30 s, links and tokens for longer."""


def settings_of_a_team() -> Iterator[Finding]:
    """What `manage.py check --deploy` says about variables, folders and the sandbox."""
    found = [one for one in django_checks.run_checks(include_deployment_checks=True) if not one.is_silenced()]
    plain = any(one.id == NO_TLS for one in found)
    for message in found:
        if not (plain and message.id in FOLLOW_FROM_NO_TLS):
            yield _of_message(message)
    if not found:
        yield ok("settings", "manage.py check --deploy has nothing to say.")


def _of_message(message: CheckMessage) -> Finding:
    make = failed if message.is_serious() else warning
    return make(f"settings.{message.id}", str(message.msg), str(message.hint or "See manage.py check --deploy."))


def ready() -> Iterator[Finding]:
    """What `/ready/` says."""
    for check in readiness.checks():
        yield ok(check.name, check.sentence) if check.ok else failed(check.name, check.sentence, MENDS[check.name])


def debugging() -> Iterator[Finding]:
    if settings.DEBUG:
        yield failed("debug", "LATHE_DEBUG is set: pages show tracebacks and variables.", "Take LATHE_DEBUG away.")


def disk() -> Iterator[Finding]:
    """Room for temporary files, and for the store where it is a folder."""
    folders = {"disk.var": settings.LATHE.var_dir}
    if isinstance(default_storage, FileSystemStorage):
        folders["disk.store"] = Path(default_storage.location)
    upload = settings.LATHE.upload_limit_bytes
    for name, folder in folders.items():
        try:
            free = shutil.disk_usage(folder).free
        except OSError:
            continue  # Nothing has been stored yet, or `/ready/` says what is wrong with the store.
        sentence = f"{number_of_bytes(free)} are free where {folder} is."
        if free < LEAST_FREE_BYTES:
            yield failed(name, sentence, "Make room: shorten the retention on the page Storage, or enlarge the disk.")
        elif free < upload:
            message = f"{sentence} One upload may have {number_of_bytes(upload)}."
            yield warning(name, message, "Make room, or lower LATHE_UPLOAD_LIMIT.")
        else:
            yield ok(name, sentence)


def clocks() -> Iterator[Finding]:
    """This machine's clock beside the database's, which decides about leases."""
    try:
        skew_s = clock.skew_s()
    except DATABASE_AWAY:
        return
    sentence = f"This machine's clock and the database's are {abs(skew_s):.1f} s apart."
    if abs(skew_s) <= LARGEST_SKEW_S:
        yield ok("clock", sentence)
    else:
        yield failed("clock", sentence, "Synchronize the clocks (NTP): links and second factors expire by them.")


def static_files() -> Iterator[Finding]:
    missing = [name for name in STATIC_FILES if not finders.find(name)]
    if missing:
        yield failed(
            "static",
            f"{listed(missing)} cannot be found.",
            "Install requirements/web.txt and the whole source tree anew.",
        )
    else:
        yield ok("static", "Style sheets and scripts of the portal and of packages are found.")


def mails() -> Iterator[Finding]:
    """Whether the mail server takes this installation's login. No mail is sent."""
    address = settings.LATHE.email_url
    if not address.startswith(("smtp:", "smtps:")):
        where = "printed" if address.startswith("console:") else "written to a folder"
        yield warning("mail", f"Mails are {where}, and reach nobody.", "Set EMAIL_URL to the address of a mail server.")
        return
    start = time.monotonic()
    try:
        with mail.get_connection(timeout=10):
            pass
    except OSError as error:  # smtplib's exceptions are OSErrors.
        reason = str(error) or type(error).__name__
        yield failed(
            "mail", f"The mail server refuses: {reason}.", "Compare host, port, user and password with EMAIL_URL."
        )
    else:
        yield ok("mail", f"The mail server took the login within {time.monotonic() - start:.1f} s.")
