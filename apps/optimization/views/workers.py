"""View of the workers: which are alive, their capabilities, and their current steps."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from apps.accounts.requests import MemberRequest
from apps.optimization import breakers
from apps.optimization.columns import WORKERS
from apps.optimization.models import Worker
from apps.optimization.services import technique_statuses, techniques_broken
from apps.release import code_digest
from apps.tables import csv_of_rows, wants_csv

NEEDED = (
    ("default", _("sessions do not advance")),
    ("checks", _("uploads are not checked")),
    ("cpu", _("nothing is analysed or optimized")),
)
"""Queues that need a worker, and the effect if there is none."""


@require_GET
def workers(request: MemberRequest) -> HttpResponseBase:
    if wants_csv(request):
        return csv_of_rows(request, "workers", WORKERS, Worker.objects.order_by("name"))
    known = Worker.objects.select_related("current_step__session__team")
    alive = list(known.alive())
    gone = known.exclude(pk__in=[worker.pk for worker in alive])
    template = "optimization/_workers.html" if request.htmx else "optimization/workers.html"
    served = {queue for worker in alive for queue in worker.queues}
    paused = breakers.paused_workers()
    context = {
        "alive": [(worker, paused.get(worker.name, "")) for worker in alive],
        "code": code_digest(),
        "gone": gone,
        "techniques": technique_statuses(),
        "broken": techniques_broken(),
        "unserved": [(queue, waits) for queue, waits in NEEDED if queue not in served],
    }
    return render(request, template, context)
