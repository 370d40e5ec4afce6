"""The browsers in which people are logged in: noted as they are used, listed, and ended one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts.authentication import address_of
from apps.accounts.models import Login, User
from apps.audit import trail

SEEN_RESOLUTION = timedelta(minutes=1)
# The first that fits: most browsers also name those that they descend from.
BROWSERS = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chromium", r"Chromium/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Safari/"),
)
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux|X11"),
)


def device_of(agent: str) -> str:
    """The browser and the system that a `User-Agent` names, such as “Firefox on Linux”."""
    browser = next((name for name, mark in BROWSERS if re.search(mark, agent)), "")
    system = next((name for name, mark in SYSTEMS if re.search(mark, agent)), "")
    return " on ".join(filter(None, (browser or "A browser" if system else browser, system))) or "An unknown device"


class NoteLogins:
    """Middleware: notes from where, with what, and when, to the minute, a login was last used."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        key, user = request.session.session_key, request.user
        # A login of this very request has its session in the database only now.
        if key and isinstance(user, User):
            _note(key, user, request)
        return response


def _note(key: str, user: User, request: HttpRequest) -> None:
    address, agent = address_of(request), request.headers.get("User-Agent", "")
    seen = sha256(f"{key} {user.pk} {address} {agent}".encode()).hexdigest()
    if not cache.add(f"login-seen.{seen[:32]}", 1, SEEN_RESOLUTION.total_seconds()):
        return
    noted = {"user": user, "address": address, "device": device_of(agent), "seen_at": timezone.now()}
    try:
        with transaction.atomic():
            if Session.objects.filter(pk=key).exists():
                Login.objects.update_or_create(session_id=key, defaults=noted)
    except IntegrityError:  # it was ended in this moment
        pass


def logins_of(user: User) -> QuerySet[Login]:
    """The browsers in which `user` is logged in, the last used first."""
    return Login.objects.live().filter(user=user)


@transaction.atomic
def end_login(login: Login, *, by: User) -> None:
    """Logs the browser out. Its open pages close."""
    subject, data = login.user.email, {"device": login.device, "address": login.address}
    login.session.delete()
    trail.record("login.ended", actor=by, subject=subject, data=data)


def end_other_logins(user: User, session_key: str | None) -> int:
    """Logs `user` out everywhere but in the browser with this session. Returns from how many."""
    others = list(logins_of(user).exclude(session=session_key).select_related("session", "user"))
    for login in others:
        end_login(login, by=user)
    return len(others)
