"""View of the planner's own error: predicted beside measured."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.optimization import services
from apps.optimization.error_plots import plots_of


@require_GET
def predictions(request: MemberRequest) -> HttpResponse:
    found = services.planner_errors(request.team) if request.team else None
    context = {"errors": found, "plots": plots_of(found.sessions) if found else ()}
    return render(request, "optimization/predictions.html", context)
