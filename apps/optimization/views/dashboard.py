"""View of the dashboard: running sessions, finished ones, and those that need attention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.models import Team
from apps.accounts.requests import MemberRequest, writes
from apps.agents.contracts.state import UNDECIDED, Status
from apps.models.approvals import may_decide
from apps.models.models import AliasRequest, Blob, DataSet, InspectionStatus, ModelVersion
from apps.optimization import services, workers
from apps.optimization.models import OptimizationSession, Worker
from apps.optimization.progress import courses_of
from apps.optimization.querysets import SessionQuerySet
from apps.optimization.waiting import waits_of

RECENT = 8
MOST_ACTIVE = 20
STILL_OF_INTEREST = timedelta(days=14)
"""Items older than this no longer need attention. The lists still show them."""


@require_GET
def dashboard(request: MemberRequest) -> HttpResponse:
    return _page(request)


def _page(request: MemberRequest) -> HttpResponse:
    living = workers.alive()
    context: dict[str, Any] = {"workers": len(living)}
    if request.user.is_staff:
        context["damaged_files"] = Blob.objects.filter(damaged_at__isnull=False).count()
    if request.team:
        context |= _of(request, request.team, living)
    template = "optimization/_dashboard.html" if request.htmx else "optimization/dashboard.html"
    return render(request, template, context)


@require_POST
def dismiss(request: MemberRequest, kind: str, pk: str) -> HttpResponse:
    """Takes an item off the member's dashboard, and shows what is left of it."""
    model = services.DISMISSIBLE.get(kind)
    if model is None:
        raise Http404
    try:
        item = get_object_or_404(model.objects.visible_to(request.user), pk=pk)
    except (ValueError, ValidationError, OverflowError) as wrong:  # not an id
        raise Http404 from wrong
    services.dismiss(request.user, item)
    return _page(request) if request.htmx else redirect("optimization:dashboard")


def _of(request: MemberRequest, team: Team, living: list[Worker]) -> dict[str, Any]:
    since = timezone.now() - STILL_OF_INTEREST
    sessions = OptimizationSession.objects.visible_to(request.user).filter(team=team)
    sessions = sessions.select_related("version__model", "compared__model", "dataset")
    lately = sessions.filter(finished_at__gte=since)
    versions = ModelVersion.objects.visible_to(request.user).filter(model__team=team).select_related("model")
    datasets = DataSet.objects.visible_to(request.user).filter(team=team)
    refused = {"status": InspectionStatus.REFUSED, "created_at__gte": since}
    active, more_active, now = _under_way(sessions)
    lately = services.not_dismissed(lately, request.user)
    to_promote = lately.newest_improvements().filter(result_version=None)
    finished = list(sessions.filter(finished_at__isnull=False).order_by("-finished_at")[:RECENT])
    # A session has a model and a data set, so without one of its own nothing needs to be asked.
    has_sessions = bool(active or finished)
    return {
        "writes": writes(request, team),
        "active": active,
        "more_active": more_active,
        "waits": waits_of(active, now, living),
        "courses": courses_of(active, now),
        "finished": finished,
        **_without_result(lately),
        "to_promote": to_promote.order_by("-finished_at")[:RECENT],
        "refused_versions": services.not_dismissed(versions.filter(**refused), request.user)[:RECENT],
        "refused_datasets": services.not_dismissed(datasets.filter(**refused), request.user)[:RECENT],
        "approvals": _to_decide(request, team),
        "has_models": has_sessions or versions.exists(),
        "has_datasets": has_sessions or datasets.exists(),
        "has_sessions": has_sessions,
    }


def _without_result(lately: SessionQuerySet[OptimizationSession]) -> dict[str, list[OptimizationSession]]:
    """Those that failed and those that could not decide, unless they were started over: the newest of both."""
    ended = lately.filter(Q(status=Status.FAILED) | Q(outcome__in=UNDECIDED), retries=None).order_by("-finished_at")
    rows = list(ended[: 2 * RECENT])
    failed = [row for row in rows if row.status == Status.FAILED]
    return {"failed": failed[:RECENT], "undecided": [row for row in rows if row not in failed][:RECENT]}


def _under_way(
    sessions: SessionQuerySet[OptimizationSession],
) -> tuple[Sequence[OptimizationSession], int, datetime | None]:
    """Those that run and then the newest that wait, as many as a page shows; how many more there are; and the time of
    the database, if there are any.
    """
    # Sorted here: with ORDER BY SQLite would search all sessions that ever ran.
    few = list(sessions.active().order_by().annotate(asked_at=Now())[: MOST_ACTIVE + 1])
    now = few[0].asked_at if few else None
    if len(few) <= MOST_ACTIVE:
        return sorted(few, key=lambda one: (one.status == Status.RUNNING, one.created_at), reverse=True), 0, now
    found = list(sessions.select_related(None).active().order_by().values_list("status", "created_at", "pk"))
    found.sort(key=lambda one: (one[0] == Status.RUNNING, one[1]), reverse=True)
    keys = [pk for _, _, pk in found[:MOST_ACTIVE]]
    rows = sessions.in_bulk(keys)
    return [rows[pk] for pk in keys if pk in rows], max(0, len(found) - MOST_ACTIVE), now


def _to_decide(request: MemberRequest, team: Team) -> list[AliasRequest]:
    """The moves of protected aliases that wait for this member's decision."""
    waiting = AliasRequest.objects.visible_to(request.user).pending().filter(alias__model__team=team)
    waiting = services.not_dismissed(waiting, request.user)
    rows = waiting.select_related("alias__model__team", "asked_by", "to_version")[:RECENT]
    return [row for row in rows if may_decide(row, request.user, request.membership)]
