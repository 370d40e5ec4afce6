"""The first page: what runs, what finished, what needs me."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.agents.state import Outcome, Status
from apps.models.models import DataSet, InspectionStatus, ModelVersion
from apps.optimization.models import OptimizationSession, Worker

RECENT = 8


@require_GET
def dashboard(request: MemberRequest) -> HttpResponse:
    sessions = OptimizationSession.objects.visible_to(request.user).select_related("version__model", "dataset")
    completed = sessions.filter(status=Status.COMPLETED).with_gains()
    versions = ModelVersion.objects.visible_to(request.user).select_related("model")
    datasets = DataSet.objects.visible_to(request.user)
    refused = InspectionStatus.REFUSED
    context = {
        "active": sessions.active(),
        "finished": completed.order_by("-finished_at")[:RECENT],
        "failed": sessions.filter(status=Status.FAILED, retries=None)[:RECENT],
        "to_promote": sessions.filter(outcome=Outcome.IMPROVED, result_version=None)[:RECENT],
        "refused_versions": versions.filter(status=refused)[:RECENT],
        "refused_datasets": datasets.filter(status=refused)[:RECENT],
        "has_models": versions.exists(),
        "has_datasets": datasets.exists(),
        "workers": Worker.objects.alive().count(),
    }
    template = "optimization/_dashboard.html" if request.htmx else "optimization/dashboard.html"
    return render(request, template, context)
