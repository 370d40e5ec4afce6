"""Views of the team's storage: its size, its retention, and what would be removed."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.errors import NoTeam
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest
from apps.accounts.services import may, require_role
from apps.optimization import services
from apps.optimization.forms.retention import RetentionForm
from apps.optimization.models.retention import DAYS


@require_GET
def storage(request: MemberRequest) -> HttpResponse:
    return _page(request)


@require_POST
def retention(request: MemberRequest) -> HttpResponse:
    """Shows what other retention settings would remove, or saves them."""
    if not request.team:
        raise NoTeam()
    require_role(request.user, request.team, Role.OWNER)
    form = RetentionForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    if "dry_run" in request.POST:
        return _page(request, form, tried=True)
    services.keep_for(request.team, request.user, form.cleaned_data)
    messages.success(request, _("Saved. Workers remove expired data once an hour."))
    return redirect("optimization:storage")


def _page(
    request: MemberRequest, form: RetentionForm | None = None, *, tried: bool = False, status: int = 200
) -> HttpResponse:
    context: dict[str, object] = {"tried": tried}
    if request.team:
        policy = services.policy_with(request.team, request.user, form.cleaned_data) if form and tried else None
        found = services.storage_of(request.team, policy)
        context |= {
            "storage": found,
            "form": form or RetentionForm(initial={name: getattr(found.policy, name) for name in DAYS}),
            "owns": may(request.user, request.team, Role.OWNER),
        }
    return render(request, "optimization/storage.html", context, status=status)
