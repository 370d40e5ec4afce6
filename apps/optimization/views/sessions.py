"""Views of sessions: the history, a new session, and the live page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.formats import date_format
from django.utils.html import escape
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from apps.accounts.errors import NoTeam
from apps.accounts.forms import show_error
from apps.accounts.models import Team
from apps.accounts.requests import MemberRequest, current_team, writes
from apps.agents.contracts.criteria import Criteria
from apps.audit.models import AuditEvent
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.optimization import live, plan_moves, services
from apps.optimization.columns import LIST_OF_SESSIONS, SESSIONS
from apps.optimization.default_criteria import defaults_of
from apps.optimization.errors.lifecycle import SessionDeleted
from apps.optimization.errors.starting import NothingToTry
from apps.optimization.filters import SessionFilter
from apps.optimization.forms.comments import CommentForm
from apps.optimization.forms.comparing import CompareForm
from apps.optimization.forms.starting import SessionForm
from apps.optimization.forms.what_if import WhatIfForm
from apps.optimization.models import CriteriaSet, OptimizationSession, SessionTemplate
from apps.optimization.session_log import Form, log_response
from apps.optimization.views import plan_edits
from apps.optimization.waiting import waits_of
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 25
LONG = ("plan", "traceback")
"""Columns that the list does not show."""


def visible_session(request: MemberRequest, pk: UUID) -> OptimizationSession:
    """The session, or 404 for users outside its team. Raises `SessionDeleted` if it existed."""
    sessions = OptimizationSession.objects.visible_to(request.user)
    rows = sessions.select_related(
        "team", "version__model", "student__model", "compared__model", "dataset", "criteria_set", "created_by"
    )
    if (session := rows.filter(pk=pk).first()) is not None:
        return session
    events = AuditEvent.objects.visible_to(request.user).filter(session_id=pk, action="session.deleted")
    if (event := events.first()) is not None:
        raise SessionDeleted(day=date_format(localtime(event.at), _("j M Y")), actor=event.actor)
    raise Http404


@require_GET
def history(request: MemberRequest) -> HttpResponseBase:
    """The current team's sessions. HTMX requests get only the results."""
    sessions = OptimizationSession.objects.visible_to(request.user).filter(team=request.team or None)
    rows = sessions.select_related("version__model", "compared__model", "dataset", "created_by").defer(*LONG)
    rows = in_order(rows, LIST_OF_SESSIONS, request.GET.get(ORDERING, ""))
    chosen = SessionFilter(request.GET, rows, request=request)
    if wants_csv(request):
        return csv_of_rows(request, "sessions", SESSIONS, chosen.qs)
    page = KeyedPaginator(chosen.qs, PAGE_SIZE).get_page(request.GET.get("page"))
    template = "optimization/_session_history.html" if request.htmx else "optimization/session_list.html"
    context = {
        "filter": chosen,
        "page": page,
        "any": sessions.exists(),
        "moving": any(session.is_active for session in page),
        "waits": waits_of(page),
        "writes": writes(request, request.team),
        "acts": services.SESSION_ACTS.values(),
    }
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def new(request: MemberRequest) -> HttpResponse:
    team = current_team(request)
    if request.method == "GET":
        template = _template(request)
        context = _page_of(_first_form(request, team, template)) | {"template": template}
        return render(request, "optimization/session_new.html", context)
    form = SessionForm(request.POST, user=request.user, team=team)
    status = 422
    if form.is_valid():
        try:
            chosen = request.POST.getlist("resolution")
            return redirect(services.session_start(user=request.user, resolutions=chosen, **form.cleaned_data))
        except UserError as error:
            if isinstance(error, NothingToTry):
                form.ask_whether_to_start_anyway()
            show_error(form, error)
            status = max(status, error.status)
    return render(request, "optimization/session_new.html", _page_of(form), status=status)


def _page_of(form: SessionForm) -> dict[str, object]:
    return {"form": form, "edits_json": form["edits"].value() or ""}


def _earlier(request: MemberRequest) -> OptimizationSession | None:
    """The session that the address names as `again`, if the member may see it."""
    try:
        pk = UUID(request.GET.get("again", ""))
    except ValueError:
        return None
    return OptimizationSession.objects.visible_to(request.user).filter(pk=pk).first()


def _template(request: MemberRequest) -> SessionTemplate | None:
    """The template that the address names, or the default of the version's model if it names nothing else."""
    rows = SessionTemplate.objects.visible_to(request.user).select_related("model")
    if (named := number_in(request.GET, "template")) is not None:
        return rows.filter(pk=named).first()
    if not {"again", "own", "criteria_set", "dataset", "template"} & request.GET.keys():
        chosen = number_in(request.GET, "version")
        return rows.filter(is_default=True, model__versions=chosen).first() if chosen is not None else None
    return None


def _asked_before(asked: OptimizationSession | SessionTemplate, keep: Sequence[str]) -> dict[str, object]:
    """What a session was asked, for the form of another one that leaves the layers `keep` in float as well."""
    edits = plan_moves.kept(asked.edits, tuple(dict.fromkeys((*asked.edits.kept_layers, *keep))))
    return {
        "dataset": asked.dataset_id,
        "student": asked.student_id,
        "criteria_set": asked.criteria_set_id,
        "make_anew": asked.make_anew,
        **({"edits": edits.model_dump_json()} if edits.count else {}),
    }


def _first_form(request: MemberRequest, team: Team, template: SessionTemplate | None) -> SessionForm:
    """The form before anything was chosen in it: with the default criteria, or with all that an earlier session was
    asked or that a template says. `own` in the address opens the criteria for editing."""
    defaults, earlier = defaults_of(request.user, team), _earlier(request)
    start: dict[str, object] = {"criteria_set": str(defaults.used.pk)} if defaults.used else {}
    if earlier is not None:
        start |= request.GET.dict() | {"version": earlier.version_id}
        start |= _asked_before(earlier, request.GET.getlist("keep"))
    elif template is not None:
        newest = services.newest_ready(template.model)
        start |= {"version": newest and newest.pk}
        start |= _asked_before(template, ()) | request.GET.dict()
    else:
        start |= request.GET.dict()
    saved = earlier or template
    criteria = saved.criteria if saved else _named(request, start) if "own" in request.GET else None
    form = SessionForm(user=request.user, team=team, criteria=criteria, initial=start)
    form.fields["criteria_set"].help_text = escape(defaults.sentence)
    return form


def _named(request: MemberRequest, chosen: Mapping[str, object]) -> Criteria:
    """The named criteria that are chosen, if the member may see them, else what Lathe assumes without any."""
    pk = number_in(chosen, "criteria_set")
    found = CriteriaSet.objects.visible_to(request.user).filter(pk=pk).first() if pk is not None else None
    return found.criteria if found else Criteria()


def number_in(named: Mapping[str, object], field: str) -> int | None:
    """The id of a row that an address or a button names; `None` for anything that cannot be one."""
    written = str(named.get(field, ""))
    return int(written) if written.isascii() and written.isdecimal() and len(written) < 19 else None


@require_GET
def choices(request: MemberRequest) -> HttpResponse:
    """The choices of `field` of a new session, or of a comparison, that match the typed words."""
    name = request.GET.get("field", "version")
    made = CompareForm if request.GET.get("for") == "compare" else SessionForm
    if name not in made.SEARCHED:
        raise Http404
    if not request.team:
        raise NoTeam()
    form = made(user=request.user, team=request.team, initial=request.GET.dict())
    context = {"field": form[name], "words": form.words(name)}
    return render(request, "optimization/_session_choice.html", context)


@require_http_methods(["GET", "POST"])
@plan_edits.in_one_reading
def preview(request: MemberRequest) -> HttpResponse:
    """The preview of a session: the compatibility of every technique and the plan, before anything runs.

    Edits of the plan may be too long for an address, so the page posts them. Nothing is stored.
    """
    return plan_edits.preview_page(request, plan_edits.question(request))


@require_GET
def decides(request: MemberRequest) -> HttpResponse:
    """What the data can decide with a different `limit` (points) or `confidence` than in the chosen criteria."""
    if not request.team:
        raise NoTeam()
    form = SessionForm(request.GET, user=request.user, team=request.team)
    asked = WhatIfForm(request.GET)
    context: dict[str, object] = {"asked": asked, "form": form}
    if form.is_valid() and asked.is_valid():
        chosen = form.cleaned_data
        wanted = asked.put_on(chosen["criteria"])
        context["decides"] = services.what_is_decided(chosen["version"], chosen["dataset"], wanted)
        context["use"] = services.use_of(chosen["dataset"], wanted)
    return render(request, "optimization/_session_decides.html", context)


@require_GET
def detail(request: MemberRequest, pk: UUID) -> HttpResponse:
    return detail_page(request, visible_session(request, pk))


def detail_page(
    request: MemberRequest,
    session: OptimizationSession,
    *,
    comment_form: CommentForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of one session, possibly with a comment that has errors."""
    context = {
        "session": session,
        "live": live.read(session),
        "writes": writes(request, session.team),
        "reader_id": request.user.pk,
        "form": comment_form or CommentForm(),
    }
    return render(request, "optimization/session_detail.html", context, status=status)


@require_safe
def log_text(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The whole log as plain text."""
    return log_response(request, visible_session(request, pk), Form.TEXT)


@require_safe
def log_lines(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The whole log as JSON, one object per line, with all ids."""
    return log_response(request, visible_session(request, pk), Form.LINES)


@require_POST
def cancel(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    services.session_cancel(session, user=request.user)
    return _still_at(request, session)


@require_POST
def retry(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = services.session_retry(visible_session(request, pk), user=request.user)
    return HttpResponseClientRedirect(session.get_absolute_url()) if request.htmx else redirect(session)


@require_POST
def resume(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    services.session_resume(session, user=request.user)
    return _still_at(request, session)


@require_POST
def delete(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    title = str(session)
    services.session_delete(session, user=request.user)
    messages.success(request, _("The session on {title} was deleted.").format(title=title))
    return redirect("optimization:session-list")


def _still_at(request: MemberRequest, session: OptimizationSession) -> HttpResponse:
    """The page of a session that is the same one with another status: its new head, in place. The rest follows as a
    push.
    """
    if not request.htmx:
        return redirect(session)
    context = {"live": live.read(visible_session(request, session.pk)), "writes": True, "oob": True}
    return render(request, "optimization/_session_head.html", context)
