"""Saved filters and chosen columns of lists. The lists' own pages have the forms."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.accounts import saved_filters
from apps.accounts.errors import NoTeam
from apps.accounts.forms import SavedFilterForm
from apps.accounts.models import SavedFilter
from apps.accounts.requests import MemberRequest
from apps.errors import UserError


@require_POST
def save_filter(request: MemberRequest, listing: str) -> HttpResponse:
    """Saves the filter and shows the list by it."""
    address = saved_filters.address_of(listing)
    if not request.team:
        raise NoTeam()
    form = SavedFilterForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("The filter was not saved. Give it a name of at most 80 characters."))
        return redirect(address)
    try:
        made = saved_filters.save_filter(request.user, request.team, listing=listing, **form.cleaned_data)
    except UserError as error:
        messages.error(request, error.message)
        return redirect(address)
    messages.success(request, _("The filter “{name}” was saved.").format(name=made.name))
    return redirect(f"{address}?{made.query}")


@require_POST
def delete_filter(request: MemberRequest, pk: int) -> HttpResponse:
    saved = get_object_or_404(SavedFilter.objects.visible_to(request.user).select_related("team"), pk=pk)
    saved_filters.delete_filter(saved, request.user)
    messages.success(request, _("The filter “{name}” was deleted.").format(name=saved.name))
    return redirect(saved_filters.address_of(saved.listing))


@require_POST
def choose_columns(request: MemberRequest, listing: str) -> HttpResponse:
    address = saved_filters.address_of(listing)
    saved_filters.choose_columns(request.user, listing, request.POST.getlist("column"))
    return redirect(address)
