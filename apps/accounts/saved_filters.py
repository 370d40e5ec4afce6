"""Filters that members save by name, for themselves or for their team, and the columns that they choose to see."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from django.db import IntegrityError, transaction
from django.urls import reverse

from apps.accounts.errors import ColumnUnknown, FilterEmpty, FilterNameTaken, FilterOfAnother, ListUnknown
from apps.accounts.models import ListColumns, Role, SavedFilter, Team, User
from apps.accounts.services import may, require_role
from apps.audit import trail
from apps.listings import Listing, offered
from apps.texts import storable

_NO_FILTERS = ("page", "export")
"""Parts of a list's address that narrow nothing and put nothing in order."""


def list_named(name: str) -> Listing:
    """Raises `ListUnknown`."""
    if name not in offered():
        raise ListUnknown(name=name[:40], choices=", ".join(offered()))
    return offered()[name]


def address_of(listing: str) -> str:
    """The address of the list's page. Raises `ListUnknown`."""
    return reverse(list_named(listing).page)


@transaction.atomic
def save_filter(user: User, team: Team, *, listing: str, name: str, query: str, shared: bool) -> SavedFilter:
    """Keeps the filter that `query`, the part of the list's address after the question mark, stands for.

    Raises `PermissionDenied` for whoever is not a member, or shares below engineer; `ListUnknown`, `FilterEmpty`,
    `FilterNameTaken`.
    """
    require_role(user, team, Role.ENGINEER if shared else Role.VIEWER)
    list_named(listing)
    pairs = [(key, value) for key, value in parse_qsl(storable(query)) if key not in _NO_FILTERS]
    if not pairs:
        raise FilterEmpty(field="query")
    kept = {"listing": listing, "name": " ".join(storable(name).split()), "query": urlencode(pairs), "shared": shared}
    try:
        with transaction.atomic():
            made = SavedFilter.objects.create(user=user, team=team, **kept)
    except IntegrityError as clash:
        raise FilterNameTaken(field="name", name=kept["name"]) from clash
    trail.record("filter.saved", actor=user, team=team, subject=made.name, data={"list": listing, "shared": shared})
    return made


@transaction.atomic
def delete_filter(saved: SavedFilter, user: User) -> None:
    """Removes a filter of one's own, or as an owner one that the team shares. Raises `FilterOfAnother`."""
    if saved.user_id != user.pk and not may(user, saved.team, Role.OWNER):
        raise FilterOfAnother()
    data = {"list": saved.listing, "shared": saved.shared}
    trail.record("filter.deleted", actor=user, team=saved.team, subject=saved.name, data=data)
    saved.delete()


def choose_columns(user: User, listing: str, names: Iterable[str]) -> None:
    """Shows these columns in the list, beside its first one, from now on; the usual ones if none is named.

    Raises `ListUnknown` and `ColumnUnknown`.
    """
    known = [one.name for one in list_named(listing).choices]
    asked = set(names)
    if strangers := sorted(asked - set(known)):
        raise ColumnUnknown(field="columns", name=strangers[0][:40], choices=", ".join(known))
    chosen = [name for name in known if name in asked]
    if chosen:
        ListColumns.objects.update_or_create(user=user, listing=listing, defaults={"columns": chosen})
    else:
        ListColumns.objects.filter(user=user, listing=listing).delete()


def columns_for(user: User, listing: str) -> tuple[str, ...]:
    """The columns that `user` sees in the list, in their order."""
    row = ListColumns.objects.filter(user=user, listing=listing).first()
    chosen = None if row is None else set(row.columns)
    choices = list_named(listing).choices
    return tuple(one.name for one in choices if (one.usual if chosen is None else one.name in chosen))
