"""The list behind the bell."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.requests import MemberRequest
from apps.listings import ORDERING, in_order
from apps.notifications import kinds, services
from apps.notifications.columns import LIST_OF_NOTIFICATIONS, NOTIFICATIONS
from apps.notifications.models import BellEntry
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 30


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    entries = BellEntry.objects.visible_to(request.user).select_related("notification__team")
    chosen = {"kind": request.GET.get("kind", ""), "unread": bool(request.GET.get("unread"))}
    if chosen["kind"]:
        entries = entries.filter(notification__kind=chosen["kind"])
    if chosen["unread"]:
        entries = entries.unread()
    entries = in_order(entries, LIST_OF_NOTIFICATIONS, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "notifications", NOTIFICATIONS, entries)
    page = KeyedPaginator(entries, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "chosen": chosen, "kinds": kinds.KINDS.values()}
    template = "notifications/_list.html" if request.htmx else "notifications/list.html"
    return render(request, template, context)


@require_GET
def follow(request: MemberRequest, pk: int) -> HttpResponse:
    """Marks an entry as read, and leads to what it is about."""
    entry = get_object_or_404(BellEntry.objects.visible_to(request.user).select_related("notification"), pk=pk)
    services.mark_read(request.user, [entry.pk])
    return redirect(entry.notification.path or "notifications:list")


@require_POST
def read(request: MemberRequest) -> HttpResponse:
    """Marks each `entry` as read, or as unread with `unread`; with `all`, all that there are as read."""
    entries = [int(one) for one in request.POST.getlist("entry") if one.isdecimal() and len(one) < 19]
    if "all" in request.POST:
        services.mark_read(request.user)
    else:
        services.mark_read(request.user, entries, unread="unread" in request.POST)
    return redirect("notifications:list")
