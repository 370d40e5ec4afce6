"""What pages of lists show: the heads of their columns, their order, their saved filters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template

from apps.accounts import saved_filters
from apps.accounts.models import Role, SavedFilter
from apps.accounts.requests import has_role
from apps.listings import ORDERING, Listing, asked_of
from apps.listings import heads as heads_of

register = template.Library()


@register.simple_tag(takes_context=True)
def columns_shown(context: dict[str, Any], listing: str, chosen: Any = True) -> tuple[str, ...]:
    """The columns that the member sees in the list; the usual ones where the table is not the list itself."""
    if not chosen:
        return tuple(one.name for one in saved_filters.list_named(listing).choices if one.usual)
    return saved_filters.columns_for(context["request"].user, listing)


@register.inclusion_tag("includes/_heads.html", takes_context=True)
def heads(
    context: dict[str, Any], listing: str | Listing, columns: Iterable[str] | None = None, ordered: Any = True
) -> dict[str, Any]:
    """The heads of a list's columns, all of them without `columns`. A press on one puts the list in its order, unless
    the table is not the list itself (not `ordered`).
    """
    request, found = context["request"], _listing(listing)
    names = [one.name for one in found.choices] if columns is None else columns
    return {
        "heads": heads_of(found, names, request.GET.get(ORDERING, "")),
        "ordered": ordered,
        "part": found.part,
        "request": request,
    }


@register.inclusion_tag("includes/_order.html", takes_context=True)
def order_choice(context: dict[str, Any], listing: str | Listing) -> dict[str, Any]:
    """The order of a list as a part of its filters, shown where there are no heads: on narrow screens, above cards. A
    list that is empty without any filter has none.
    """
    asked, page = context["request"].GET, context.get("page")
    found, text = _listing(listing), asked.get(ORDERING, "")
    ordering = text if asked_of(found, text) else ""
    return {
        "columns": [one for one in found.columns if one.ordering],
        "cards": found.cards,
        "empty": page is not None and not page.object_list and not asked,
        "ordering": ordering,
        "several": "," in ordering,
    }


@register.inclusion_tag("includes/_list_options.html", takes_context=True)
def list_options(context: dict[str, Any], listing: str) -> dict[str, Any]:
    """The saved filters of a list, and the forms that save another and choose columns."""
    request = context["request"]
    usable = SavedFilter.objects.visible_to(request.user).filter(team=request.team or None, listing=listing)
    shown = saved_filters.columns_for(request.user, listing)
    return {
        "listing": listing,
        "address": saved_filters.address_of(listing),
        "saved": usable.select_related("user"),
        "columns": [(one, one.name in shown) for one in saved_filters.list_named(listing).choices],
        "query": request.GET.urlencode(),
        "reader_id": request.user.pk,
        "owns": has_role(request, request.team, Role.OWNER),
        "shares": has_role(request, request.team, Role.ENGINEER),
        "csrf_token": context.get("csrf_token"),
    }


def _listing(listing: str | Listing) -> Listing:
    return listing if isinstance(listing, Listing) else saved_filters.list_named(listing)
