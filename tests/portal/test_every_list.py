"""Every list of rows is ordered by its columns, becomes a file and keeps its filters, or says why not.

A new page with a table fails the first test until it is a list (`apps.listings.offer`) or stands here with its reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from html import unescape

import pytest
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.listings import Listing, offered
from apps.models.models import AliasRequest
from tests.portal import world
from tests.portal.every_page import EVERY_PAGE, in_use
from tests.portal.world import World

pytestmark = pytest.mark.django_db

ONLY_A_FILE: Mapping[str, str] = {
    "layers": "one session's layers: ordered by each column, but its address holds the session",
    "logins": "the few browsers of one member: ordered by each column, with nothing to narrow",
    "report-links": "the few links to one report, the newest first",
    "workers": "cards that change while one looks; all workers stand on the page",
    "predictions": "examples in groups, each with its picture",
    "compare": "up to six columns that the address names; rows that differ come first",
}
"""Pages with a file, but without saved filters, and why."""
NO_LIST: Mapping[str, str] = {
    "dashboard": "the newest of several lists, each with a page of its own",
    "session": "parts of one session",
    "session-running": "parts of one session",
    "report": "parts of one report, which is a document",
    "model": "the versions of one model beside its aliases and templates",
    "version": "parts of one version",
    "notification-settings": "a form, and at most twenty channels",
    "settings-of-the-installation": "a form, and at most twenty channels",
    "service-account": "the tokens of one account",
    "channel": "the newest deliveries of one channel, from a list of its own",
    "bulk-confirm": "a question about the chosen rows of a list",
    "styleguide": "samples",
    "storage": "one row for each kind of file",
    "operations": "sums over the installation, for operators",
    "document": "a text",
    "document-of-errors": "a text",
}
"""Pages with a table that are no lists of rows, and what they are."""


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    made = in_use(world.build(team, owner))
    AliasRequest.objects.update(status="approved", decided_by=owner, decided_at=timezone.now())
    return made


@pytest.fixture
def browser(client: Client, owner: User) -> Client:
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    client.force_login(owner)
    return client


def content(client: Client, path: str) -> str:
    html = client.get(path).content.decode()
    return html[html.index("<main") : html.index("</main")]


def routes() -> dict[str, Listing]:
    return {listing.page: listing for listing in offered().values()}


def test_every_page_with_rows_is_a_list_or_says_why_not(browser: Client, everything: World) -> None:
    lists, seen = routes(), set()
    for name, address in EVERY_PAGE.items():
        path = address(everything)
        html = content(browser, path)
        route = resolve(path.partition("?")[0]).view_name
        if route in lists:
            seen.add(route)
            wanted = ("export=csv", "#ordering", 'id="filter-save"')
        elif name in ONLY_A_FILE:
            wanted = ("export=csv",)
        else:
            has_rows = "<table" in html or "export=csv" in html
            assert has_rows == (name in NO_LIST), f"{name}: a list of rows without its tools, or no longer one"
            continue
        marked = html.replace('id="ordering"', "#ordering")
        assert [part for part in wanted if part not in marked] == [], name
    assert seen == set(lists)


@pytest.mark.parametrize("name", offered())
def test_a_list_is_ordered_by_each_of_its_columns(browser: Client, everything: World, name: str) -> None:
    """Each head leads to an order that the page understands, and to the opposite one from there."""
    listing = offered()[name]
    path = reverse(listing.page)
    for ordering in listing.orderings:
        for asked in (ordering, f"-{ordering}"):
            html = unescape(content(browser, f"{path}?ordering={asked}"))
            assert re.search(rf'<option value="{asked}" selected>', html), asked
            state = "descending" if asked.startswith("-") else "ascending"
            column = listing.orderings[ordering]
            if listing.cards or (column is not listing.columns[0] and not column.usual):
                continue
            head = re.search(rf'<th [^>]*aria-sort="(\w+)"><a id="order-{column.name}" href="([^"]*)"', html)
            assert head, f"{asked}: no head"
            turned = ordering if state == "descending" else f"-{ordering}"
            assert (head[1], head[2]) == (state, f"?ordering={turned}")


@pytest.mark.parametrize("name", offered())
def test_a_list_is_a_file_with_a_head_and_its_rows(browser: Client, everything: World, name: str) -> None:
    path = reverse(offered()[name].page)
    response = browser.get(path, {"export": "csv"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


@pytest.mark.parametrize("page", ["logins", "report-links", "workers", "layers"])
def test_so_is_what_keeps_no_filters(browser: Client, everything: World, page: str) -> None:
    response = browser.get(EVERY_PAGE[page](everything), {"export": "csv"})
    assert list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


def test_the_names_of_lists_fit_into_their_rows() -> None:
    assert [name for name in offered() if len(name) > 20] == []
