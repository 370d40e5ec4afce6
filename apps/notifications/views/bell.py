"""The list behind the bell."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.requests import MemberRequest
from apps.notifications import kinds, services
from apps.notifications.models import BellEntry
from apps.pages import KeyedPaginator

PAGE_SIZE = 30


@require_GET
def listing(request: MemberRequest) -> HttpResponse:
    entries = BellEntry.objects.visible_to(request.user).select_related("notification__team")
    chosen = {"kind": request.GET.get("kind", ""), "unread": bool(request.GET.get("unread"))}
    if chosen["kind"]:
        entries = entries.filter(notification__kind=chosen["kind"])
    if chosen["unread"]:
        entries = entries.unread()
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
    """Marks one entry (`entry`) as read, or as unread with `unread`; without `entry`, all as read."""
    entry = request.POST.get("entry", "")
    if not entry:
        services.mark_read(request.user)
    elif entry.isdecimal() and len(entry) < 19:
        services.mark_read(request.user, [int(entry)], unread="unread" in request.POST)
    return redirect("notifications:list")
