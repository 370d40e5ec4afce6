"""What pages of lists show of saved filters and chosen columns."""

from __future__ import annotations

from typing import Any

from django import template

from apps.accounts import saved_filters
from apps.accounts.models import Role, SavedFilter
from apps.accounts.requests import has_role
from apps.tables import choices_of

register = template.Library()


@register.simple_tag(takes_context=True)
def columns_shown(context: dict[str, Any], listing: str, chosen: Any = True) -> tuple[str, ...]:
    """The columns that the member sees in the list; the usual ones where the table is not the list itself."""
    if not chosen:
        return tuple(one.name for one in choices_of(listing) if one.usual)
    return saved_filters.columns_for(context["request"].user, listing)


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
        "columns": [(one, one.name in shown) for one in choices_of(listing)],
        "query": request.GET.urlencode(),
        "reader_id": request.user.pk,
        "owns": has_role(request, request.team, Role.OWNER),
        "shares": has_role(request, request.team, Role.ENGINEER),
        "csrf_token": context.get("csrf_token"),
    }
