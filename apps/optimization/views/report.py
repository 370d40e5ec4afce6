"""Views of the report of a finished session, its package, promotion and rollback."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, writes
from apps.accounts.services import require_role
from apps.agents.contracts.state import Status
from apps.errors import QueueAway, UserError
from apps.models.download import blob_response
from apps.models.models import AliasRequest
from apps.models.services import can_undo
from apps.models.views.aliases import tell_move
from apps.models.views.approvals import requests_with_rights
from apps.optimization import services
from apps.optimization.cards import card_response
from apps.optimization.forms.promotion import PromoteForm, RollBackForm
from apps.optimization.matrix_plots import left_out, tables
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.printed import pdf_response
from apps.optimization.recipe import recipe_for
from apps.optimization.views.sessions import visible_session


@require_GET
def report(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The report of what the session delivers, or of the earlier decision in the query."""
    session = visible_session(request, pk)
    return _page(request, session, PromoteForm(), RollBackForm(), packaging=_packaging(request, session))


@require_safe
def report_pdf(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The same report for paper."""
    session = visible_session(request, pk)
    address = request.build_absolute_uri(reverse("optimization:report", args=[pk]))
    return pdf_response(services.report(session, _packaging(request, session)), address)


def _packaging(request: MemberRequest, session: OptimizationSession) -> SessionStep | None:
    """The package step of the decision in the query; `None` without one. Raises `DecisionUnknown`."""
    number = request.GET.get("decision")
    return None if number is None else services.decision_step(session, number)


def _page(
    request: MemberRequest,
    session: OptimizationSession,
    promote: PromoteForm,
    roll_back: RollBackForm,
    status: int = 200,
    packaging: SessionStep | None = None,
) -> HttpResponse:
    promoted = session.result_version.aliases.select_related("version") if session.result_version else ()
    made = services.report(session, packaging)
    context = {
        "session": session,
        "report": made,
        "alternatives": {one.candidate: one for one in services.alternatives(made).candidates},
        "answered": services.answered(session),
        "card": None if session.compared_id else services.card_text(session, packaging, made),
        "earlier": packaging is not None and packaging != services.latest_packaging(session),
        **_speed(request, session),
        "requests": requests_with_rights(request, AliasRequest.objects.pending().filter(session=session.pk)),
        "undoable": [alias for alias in promoted if can_undo(alias)],
        "writes": writes(request, session.team),
        "promote_form": promote,
        "roll_back_form": roll_back,
    }
    return render(request, "optimization/report.html", context, status=status)


def _speed(request: MemberRequest, session: OptimizationSession) -> dict[str, object]:
    """Members' measurements by batch size and threads: all, and the latest that is done as tables."""
    found = services.matrices_of(session)
    latest = next((one for one in found if one.matrix is not None), None)
    drawn = latest.matrix if latest else None
    return {
        "matrices": found,
        "matrix": latest,
        "matrix_tables": tables(drawn) if drawn else (),
        "matrix_left_out": left_out(drawn) if drawn else {},
        "can_measure": writes(request, session.team) and session.status == Status.COMPLETED,
    }


@require_POST
def promote(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    form = PromoteForm(request.POST)
    if not form.is_valid():
        return _page(request, session, form, RollBackForm(), 422)
    try:
        done = services.promote(session, user=request.user, alias=form.cleaned_data["alias"])
    except QueueAway:
        raise
    except UserError as error:
        messages.error(request, error.message)
    else:
        if done.asked:
            tell_move(request, done.asked)
        else:
            messages.success(
                request,
                _("{alias} now points at {version}.").format(alias=form.cleaned_data["alias"], version=done.version),
            )
    return redirect("optimization:report", pk)


@require_POST
def take(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Delivers another candidate instead, and shows the session while that is judged and packed."""
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    candidate = request.POST.get("candidate", "")
    try:
        services.session_take(session, user=request.user, candidate=candidate)
    except QueueAway:
        raise
    except UserError as error:
        messages.error(request, error.message)
        return redirect("optimization:report", pk)
    messages.success(
        request,
        _("{candidate} is taken. What is delivered now stands until its package is made.").format(candidate=candidate),
    )
    return redirect(session)


@require_POST
def roll_back(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    form = RollBackForm(request.POST)
    if not form.is_valid():
        return _page(request, session, PromoteForm(), form, 422)
    try:
        tell_move(request, services.promotion_rollback(session, user=request.user, **form.cleaned_data))
    except UserError as error:
        messages.error(request, error.message)
    return redirect("optimization:report", pk)


@require_safe
def recipe(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The recipe of what the step in the query made, or of the session's result, as a file."""
    made = recipe_for(visible_session(request, pk), request.GET.get("step"))
    text = json.dumps(made.model_dump(mode="json"), indent=2, sort_keys=True)
    headers = {"Content-Disposition": 'attachment; filename="recipe.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@require_safe
def candidate_file(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The file of the candidate in the query, or of what the session delivers."""
    found = services.candidate_file(visible_session(request, pk), request.GET.get("candidate", ""))
    return blob_response(request, found.blob, found.filename)


def card(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The model card of what the session delivers, or of the earlier decision in the query, as a file."""
    session = visible_session(request, pk)
    return card_response(services.card_text(session, _packaging(request, session)))


@require_safe
def package(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The zip file with artifact, report, recipe and run script."""
    session = visible_session(request, pk)
    package = services.package_of(session, _packaging(request, session))
    return blob_response(request, package.blob, package.filename)
