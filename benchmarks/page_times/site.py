"""A web server as the portal starts it, over a database of its own with one of everything and a list of sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.installation import installed
from benchmarks.load.lists import fill
from benchmarks.own_portal import start_django
from benchmarks.people import cookie_of

SETTINGS = "benchmarks.page_times.settings"


@dataclass(frozen=True)
class Site:
    url: str
    pages: dict[str, str]
    """Address by name."""
    person: Any
    """Who opens them: an owner of the team and an operator."""

    @property
    def cookies(self) -> dict[str, str]:
        from django.conf import settings

        return {settings.SESSION_COOKIE_NAME: cookie_of(self.person)}


@contextmanager
def running(database: str | None, redis_url: str, sessions: int) -> Iterator[Site]:
    """Over `database` (PostgreSQL, made and removed), or SQLite without one; the team has so many sessions."""
    if database:
        with installed(database, redis_url) as place, _served(place.folder, sessions) as site:
            yield site
    else:
        with tempfile.TemporaryDirectory(prefix="lathe-benchmark-") as folder:
            start_django(Path(folder))
            with _served(Path(folder), sessions) as site:
                yield site


@contextmanager
def _served(folder: Path, sessions: int) -> Iterator[Site]:
    from django.conf import settings

    from lathe import portal
    from lathe.processes import Supervisor

    with Supervisor() as supervisor:
        portal.prepare(supervisor, settings.LATHE)
        person, pages = _furnished(sessions)
        address = portal.free_address("127.0.0.1", None, first=8100)
        web = portal.web(address, settings.LATHE, folder / "log")
        web.environment = {**web.environment, "DJANGO_SETTINGS_MODULE": SETTINGS}
        supervisor.start(web)
        supervisor.wait_until(lambda: portal.is_up(address), "The web server", timeout_s=300)
        yield Site(address.url, pages, person)


def _furnished(sessions: int) -> tuple[Any, dict[str, str]]:
    """The person, and the pages of what they see."""
    from apps.accounts.models import Membership, Role, User
    from tests.portal import world
    from tests.portal.every_page import EVERY_PAGE, in_use

    person = fill("vision", sessions)
    membership = Membership.objects.select_related("team").get(user=person)
    Membership.objects.filter(pk=membership.pk).update(role=Role.OWNER)
    User.objects.filter(pk=person.pk).update(is_staff=True, is_superuser=True, tour="ended")
    person.refresh_from_db()
    everything = in_use(world.build(membership.team, person))
    return person, {name: address(everything) for name, address in EVERY_PAGE.items()}
