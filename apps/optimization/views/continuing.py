"""The page that continues a finished session with other criteria."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.accounts.forms import show_error
from apps.accounts.models import Role, User
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import Criteria
from apps.errors import UserError
from apps.optimization import services
from apps.optimization.errors.criteria import UnknownResolution
from apps.optimization.forms.continuing import ContinueForm
from apps.optimization.models import OptimizationSession
from apps.optimization.views.sessions import visible_session


@require_http_methods(["GET", "POST"])
def continue_with(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The criteria of a finished session to change, and the session that continues it with them."""
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    services.check_continuable(session)
    posted = request.POST if request.method == "POST" else None
    form, check = ContinueForm(posted, criteria=session.criteria), None
    status = 200 if request.method == "GET" else 422
    if request.method == "POST" and form.is_valid() and form.criteria is not None:
        wanted, chosen = form.criteria, request.POST.getlist("resolution")
        try:
            if not chosen:
                return redirect(services.session_continue(session, request.user, criteria=wanted))
            check = _checked(session, request.user, wanted, chosen)
            status = 200
            if check.applied:
                form = ContinueForm(criteria=check.criteria)
        except UserError as error:
            show_error(form, error)
            status = max(status, error.status)
            check = _checked_anyway(session, request.user, wanted)
    earlier = services.earlier_of(session, session.criteria)
    context = {"session": session, "form": form, "earlier": earlier, "check": check}
    return render(request, "optimization/session_continue.html", context, status=status)


def _checked(
    session: OptimizationSession, user: User, criteria: Criteria, chosen: Sequence[str] = ()
) -> services.CriteriaCheck:
    """The conflicts with what this page can resolve. The target stays, so what would change it is not offered."""
    try:
        check = services.continuation_checked(session, user, criteria, chosen)
    except UnknownResolution:  # The answers or what is known have changed since the button was shown.
        check = services.continuation_checked(session, user, criteria)
    kept = [
        one.model_copy(update={"resolutions": tuple(each for each in one.resolutions if "target" not in each.patch)})
        for one in check.conflicts
    ]
    return check.model_copy(update={"conflicts": tuple(kept)})


def _checked_anyway(session: OptimizationSession, user: User, criteria: Criteria) -> services.CriteriaCheck | None:
    """The conflicts of criteria that were refused; `None` if its rows cannot be used any more."""
    try:
        return _checked(session, user, criteria)
    except UserError:
        return None
