"""Which workers are alive, what they can do and what they do now."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.optimization.models import Worker
from apps.optimization.services import technique_statuses


@require_GET
def workers(request: MemberRequest) -> HttpResponse:
    known = Worker.objects.select_related("current_step__session__team")
    alive = list(known.alive())
    gone = known.exclude(pk__in=[worker.pk for worker in alive])
    template = "optimization/_workers.html" if request.htmx else "optimization/workers.html"
    return render(request, template, {"alive": alive, "gone": gone, "techniques": technique_statuses()})
