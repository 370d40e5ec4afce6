"""Sessions: the history, a new one, one live."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.accounts.errors import NoTeam
from apps.accounts.forms import show_error
from apps.accounts.requests import MemberRequest, current_team, writes
from apps.errors import UserError
from apps.optimization import live, services
from apps.optimization.filters import SessionFilter
from apps.optimization.forms import SessionForm
from apps.optimization.models import OptimizationSession

PAGE_SIZE = 25


def visible_session(request: MemberRequest, pk: UUID) -> OptimizationSession:
    """The session, or 404 for who is not of its team."""
    sessions = OptimizationSession.objects.visible_to(request.user)
    return get_object_or_404(sessions.select_related("version__model", "dataset", "criteria_set", "created_by"), pk=pk)


@require_GET
def history(request: MemberRequest) -> HttpResponse:
    """The current team's sessions. HTMX asks for the results alone."""
    sessions = OptimizationSession.objects.visible_to(request.user).filter(team=request.team or None)
    sessions = sessions.select_related("version__model", "dataset")
    chosen = SessionFilter(request.GET, sessions.with_gains().order_by("-created_at"), request=request)
    page = Paginator(chosen.qs, PAGE_SIZE).get_page(request.GET.get("page"))
    template = "optimization/_session_history.html" if request.htmx else "optimization/session_list.html"
    context = {
        "filter": chosen,
        "page": page,
        "any": sessions.exists(),
        "moving": any(session.is_active for session in page),
        "writes": writes(request, request.team),
    }
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def new(request: MemberRequest) -> HttpResponse:
    team = current_team(request)
    if request.method == "GET":
        form = SessionForm(user=request.user, team=team, initial=request.GET.dict())
        return render(request, "optimization/session_new.html", {"form": form})
    form = SessionForm(request.POST, user=request.user, team=team)
    status = 422
    if form.is_valid():
        try:
            return redirect(services.session_start(user=request.user, **form.cleaned_data))
        except UserError as error:
            show_error(form, error)
            status = error.status
    return render(request, "optimization/session_new.html", {"form": form}, status=status)


@require_GET
def preview(request: MemberRequest) -> HttpResponse:
    """What a session would do: the compatibility of every technique and the plan, before anything runs."""
    if not request.team:
        raise NoTeam()
    form = SessionForm(request.GET, user=request.user, team=request.team)
    context: dict[str, object] = {}
    if form.is_valid():
        chosen = form.cleaned_data
        try:
            context["preview"] = services.session_preview(
                chosen["version"], chosen["dataset"], chosen["criteria_set"].criteria
            )
        except UserError as error:
            context["error"] = error
    return render(request, "optimization/_session_preview.html", context)


@require_GET
def detail(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    context = {
        "session": session,
        "live": live.read(session),
        "writes": writes(request, session.team),
    }
    return render(request, "optimization/session_detail.html", context)


@require_POST
def cancel(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    services.session_cancel(session, user=request.user)
    return _to(request, session)


@require_POST
def retry(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    return _to(request, services.session_retry(session, user=request.user))


@require_POST
def resume(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    return _to(request, services.session_resume(session, user=request.user))


def _to(request: MemberRequest, session: OptimizationSession) -> HttpResponse:
    if request.htmx:
        return HttpResponseClientRedirect(session.get_absolute_url())
    return redirect(session)
