"""The page that acts on several sessions: what will happen first, and what has happened afterwards."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.bulk_pages import bulk_page
from apps.accounts.requests import MemberRequest, current_team
from apps.optimization import services
from apps.optimization.models import OptimizationSession


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    current_team(request)
    rows = OptimizationSession.objects.visible_to(request.user).filter(team=request.team or None)
    rows = rows.select_related("version__model", "team", "dataset").order_by("-created_at")
    back = reverse("optimization:session-list")
    return bulk_page(request, services.SESSION_ACTS, rows, kind="session", back=back)
