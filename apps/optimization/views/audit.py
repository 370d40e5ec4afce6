"""View of the team's audit trail."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.audit.models import AuditEvent
from apps.audit.querysets import AuditQuerySet
from apps.pages import KeyedPaginator

PAGE_SIZE = 50


@require_GET
def trail(request: MemberRequest) -> HttpResponse:
    events = (
        AuditEvent.objects.visible_to(request.user)
        .filter(team=request.team or None)
        .order_by("-sequence")
        .select_related("session__version__model")
    )
    chosen = {name: request.GET.get(name, "").strip() for name in ("actor", "action", "session")}
    if chosen["actor"]:
        events = events.filter(actor__icontains=chosen["actor"])
    if chosen["action"]:
        events = events.filter(action__startswith=chosen["action"])
    if chosen["session"]:
        events = _of_session(events, chosen["session"])
    page = KeyedPaginator(events, PAGE_SIZE).get_page(request.GET.get("page"))
    template = "optimization/_audit.html" if request.htmx else "optimization/audit.html"
    return render(request, template, {"page": page, "chosen": chosen})


def _of_session(events: AuditQuerySet, text: str) -> AuditQuerySet:
    """The events of sessions whose id begins with this text."""
    try:
        return events.filter(session_id=UUID(text))
    except ValueError:
        return events.filter(session__pk__startswith=text.lower())
