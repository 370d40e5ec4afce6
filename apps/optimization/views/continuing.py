"""The page that continues a finished session with other criteria."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.optimization import services
from apps.optimization.forms.continuing import ContinueForm
from apps.optimization.views.sessions import visible_session


@require_http_methods(["GET", "POST"])
def continue_with(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The criteria of a finished session to change, and the session that continues it with them."""
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    services.check_continuable(session)
    form = ContinueForm(request.POST or None, criteria=session.criteria)
    status = 200 if request.method == "GET" else 422
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(services.session_continue(session, request.user, criteria=form.criteria))
        except UserError as error:
            show_error(form, error)
            status = max(status, error.status)
    earlier = services.earlier_of(session, session.criteria)
    context = {"session": session, "form": form, "earlier": earlier}
    return render(request, "optimization/session_continue.html", context, status=status)
