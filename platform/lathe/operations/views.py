"""The page of operators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.requests import MemberRequest
from apps.optimization import attendance
from lathe.operations import acts, picture, store, work
from lathe.operations.access import ACT, require_operator
from lathe.operations.now import now

PERIODS = (1, 7)
"""Days over which workers are drawn."""


@require_safe
def page(request: MemberRequest) -> HttpResponse:
    """The whole page; for HTMX, which polls, only what is going on now."""
    require_operator(request.user)
    if request.htmx:
        return render(request, "operations/_now.html", {"now": now()})
    days = 7 if request.GET.get("days") == "7" else 1
    context = {
        "now": now(),
        "days": days,
        "periods": PERIODS,
        "attendance": picture.attendance(attendance.over(days)),
        "uses": store.use_by_team(),
        "disks": store.disks(),
        "slowest": work.slowest_steps(),
        "failed": work.failed_sessions(),
        "acts": request.user.has_perm(ACT),
    }
    return render(request, "operations/page.html", context)


@require_POST
def resume(request: MemberRequest) -> HttpResponse:
    """Resumes the session whose button was pressed, or those that are ticked, and says of each that cannot be why."""
    require_operator(request.user, ACT)
    chosen = list(_ids(request.POST.getlist("only") or request.POST.getlist("session")))
    outcomes = acts.resume(work.failed().filter(pk__in=chosen), request.user)
    for one in outcomes:
        if not one.done:
            messages.error(request, f"{one.title}: {one.message}")
    if done := sum(one.done for one in outcomes):
        resumed = ngettext("{count} session resumed.", "{count} sessions resumed.", done)
        messages.success(request, resumed.format(count=done))
    if not outcomes:
        messages.error(request, _("Nothing was resumed. Choose at least one session that has failed."))
    return redirect("operations:page")


@require_POST
def verify(request: MemberRequest) -> HttpResponse:
    acts.verify_trail(request.user)
    messages.success(request, _("A worker verifies the audit trail now. The result appears here."))
    return redirect("operations:page")


def _ids(texts: Iterable[str]) -> Iterator[UUID]:
    for text in texts:
        with suppress(ValueError):
            yield UUID(text)
