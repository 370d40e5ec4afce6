"""A member asks for speed by batch size and threads. The report shows what was measured."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import require_role
from apps.errors import QueueAway, UserError
from apps.optimization import services
from apps.optimization.views.sessions import visible_session


@require_POST
def measure(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Starts the measurement, and shows the session while it runs."""
    session = visible_session(request, pk)
    require_role(request.user, session.team, Role.ENGINEER)
    given = request.POST
    try:
        grid = services.speed_grid(given.get("batch_sizes", ""), given.get("threads", ""))
        services.session_measure(session, request.user, grid, given.get("candidate", ""))
    except QueueAway:
        raise
    except UserError as error:
        messages.error(request, error.message)
        return redirect("optimization:report", pk)
    messages.success(request, _("Speed is measured by batch size and threads. The report shows it once it is done."))
    return redirect(session)
