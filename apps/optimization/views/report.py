"""Views of the report of a finished session, its package, promotion and rollback."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, writes
from apps.accounts.services import require_role
from apps.errors import QueueAway, UserError
from apps.models.download import blob_response
from apps.models.services import can_undo
from apps.optimization import live, services
from apps.optimization.forms import PromoteForm, RollBackForm
from apps.optimization.models import OptimizationSession
from apps.optimization.recipe import recipe_for
from apps.optimization.views.sessions import visible_session


@require_GET
def report(request: MemberRequest, pk: UUID) -> HttpResponse:
    return _page(request, visible_session(request, pk), PromoteForm(), RollBackForm())


def _page(
    request: MemberRequest,
    session: OptimizationSession,
    promote: PromoteForm,
    roll_back: RollBackForm,
    status: int = 200,
) -> HttpResponse:
    promoted = session.result_version.aliases.select_related("version") if session.result_version else ()
    context = {
        "session": session,
        "report": services.report(session),
        "undoable": [alias for alias in promoted if can_undo(alias)],
        "live": live.read(session),
        "writes": writes(request, session.team),
        "promote_form": promote,
        "roll_back_form": roll_back,
    }
    return render(request, "optimization/report.html", context, status=status)


@require_POST
def promote(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    form = PromoteForm(request.POST)
    if not form.is_valid():
        return _page(request, session, form, RollBackForm(), 422)
    try:
        version = services.promote(session, user=request.user, alias=form.cleaned_data["alias"])
    except QueueAway:
        raise
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{form.cleaned_data['alias']} now points at {version}.")
    return redirect("optimization:report", pk)


@require_POST
def roll_back(request: MemberRequest, pk: UUID) -> HttpResponse:
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    form = RollBackForm(request.POST)
    if not form.is_valid():
        return _page(request, session, PromoteForm(), form, 422)
    try:
        services.promotion_rollback(session, user=request.user, **form.cleaned_data)
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{form.cleaned_data['alias']} was moved back to its previous version.")
    return redirect("optimization:report", pk)


@require_safe
def recipe(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The recipe of what the step in the query made, or of the session's result, as a file."""
    made = recipe_for(visible_session(request, pk), request.GET.get("step"))
    text = json.dumps(made.model_dump(mode="json"), indent=2, sort_keys=True)
    headers = {"Content-Disposition": 'attachment; filename="recipe.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@require_safe
def package(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The zip file with artifact, report, recipe and run script."""
    package = services.package_of(visible_session(request, pk))
    return blob_response(request, package.blob, package.filename)
