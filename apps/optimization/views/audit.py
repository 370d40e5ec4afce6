"""View of the team's audit trail."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.audit import verification
from apps.audit.models import ActorKind, AuditEvent
from apps.audit.querysets import AuditQuerySet
from apps.listings import ORDERING, in_order
from apps.optimization.columns import EVENTS, LIST_OF_EVENTS
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 50


CHOICES = ("actor", "action", "session", "kind", "from", "to")
"""What the form narrows the list by."""


@require_GET
def trail(request: MemberRequest) -> HttpResponseBase:
    events = (
        AuditEvent.objects.visible_to(request.user)
        .filter(team=request.team or None)
        .select_related("session__version__model")
    )
    chosen = {name: request.GET.get(name, "").strip() for name in CHOICES}
    events = in_order(_narrowed(events, chosen), LIST_OF_EVENTS, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "audit-trail", EVENTS, events)
    context = {
        "page": KeyedPaginator(events, PAGE_SIZE).get_page(request.GET.get("page")),
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "kinds": ActorKind.choices,
        "verified": None if request.htmx else verification.last(),
    }
    return render(request, "optimization/_audit.html" if request.htmx else "optimization/audit.html", context)


def _narrowed(events: AuditQuerySet, chosen: dict[str, str]) -> AuditQuerySet:
    """The events that the form asks for. A page ignores values that it does not understand."""
    if chosen["actor"]:
        events = events.filter(actor__icontains=chosen["actor"])
    if chosen["action"]:
        events = events.filter(action__startswith=chosen["action"])
    if chosen["session"]:
        events = _of_session(events, chosen["session"])
    if chosen["kind"] in ActorKind.values:
        events = events.filter(actor_kind=chosen["kind"])
    if first := _day(chosen["from"]):
        events = events.filter(at__date__gte=first)
    if last := _day(chosen["to"]):
        events = events.filter(at__date__lte=last)
    return events


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _of_session(events: AuditQuerySet, text: str) -> AuditQuerySet:
    """The events of sessions whose id begins with this text."""
    try:
        return events.filter(session_id=UUID(text))
    except ValueError:
        return events.filter(session__pk__startswith=text.lower())
