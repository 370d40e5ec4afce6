"""The team's audit trail."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.optimization.models import AuditEvent

PAGE_SIZE = 50


@require_GET
def trail(request: MemberRequest) -> HttpResponse:
    events = AuditEvent.objects.visible_to(request.user).order_by("-sequence").select_related("session__version__model")
    chosen = {name: request.GET.get(name, "").strip() for name in ("actor", "action", "session")}
    if chosen["actor"]:
        events = events.filter(actor__icontains=chosen["actor"])
    if chosen["action"]:
        events = events.filter(action__startswith=chosen["action"])
    if chosen["session"]:
        events = events.filter(session__pk__startswith=chosen["session"])
    page = Paginator(events, PAGE_SIZE).get_page(request.GET.get("page"))
    template = "optimization/_audit.html" if request.htmx else "optimization/audit.html"
    return render(request, template, {"page": page, "chosen": chosen})
