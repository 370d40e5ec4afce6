"""Views of requests to move protected aliases: the team's list, and the decisions."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, membership_in
from apps.accounts.services import require_role
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.models import approvals
from apps.models.approvals import may_decide, may_withdraw
from apps.models.columns import APPROVALS, LIST_OF_APPROVALS
from apps.models.forms import DecisionForm
from apps.models.models import AliasRequest, RequestStatus
from apps.models.querysets import AliasRequestQuerySet
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

PAGE_SIZE = 30


def requests_with_rights(
    request: MemberRequest, rows: AliasRequestQuerySet[AliasRequest]
) -> list[tuple[AliasRequest, bool, bool]]:
    """Each request, whether the member may decide about it, and whether they may withdraw it."""
    found = rows.select_related("alias__model__team", "asked_by", "decided_by", "to_version__model")
    user = request.user
    rights = []
    for row in found:
        member = membership_in(request, row.alias.model.team)
        rights.append((row, may_decide(row, user, member), row.pending and may_withdraw(row, user, member)))
    return rights


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The team's requests: those that wait, and those that were decided. HTMX requests get only the latter."""
    rows = AliasRequest.objects.visible_to(request.user).filter(alias__model__team=request.team or None)
    decided = rows.exclude(status="pending").select_related("alias__model", "asked_by", "decided_by", "to_version")
    chosen = {name: request.GET.get(name, "").strip() for name in ("search", "status")}
    found = decided.search(chosen["search"])
    if chosen["status"] in RequestStatus.values:
        found = found.filter(status=chosen["status"])
    found = in_order(found, LIST_OF_APPROVALS, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "approvals", APPROVALS, found)
    context = {
        "page": KeyedPaginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "statuses": [one for one in RequestStatus.choices if one[0] != RequestStatus.PENDING],
    }
    if request.htmx:
        return render(request, "models/_approvals_decided.html", context)
    context["waiting"] = requests_with_rights(request, rows.pending())
    return render(request, "models/approvals.html", context)


def _visible(request: MemberRequest, pk: int) -> AliasRequest:
    rows = AliasRequest.objects.visible_to(request.user).select_related("alias__model__team", "asked_by")
    return get_object_or_404(rows, pk=pk)


@require_POST
def decide(request: MemberRequest, pk: int) -> HttpResponse:
    """Approves or rejects, by the button that was pressed, with the reason in the form."""
    row = _visible(request, pk)
    require_role(request.user, row.alias.model.team, Role.ENGINEER)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(one) for errors in form.errors.values() for one in errors))
        return _back(request)
    approves, reason = form.cleaned_data["decision"] == "approve", form.cleaned_data["reason"]
    try:
        (approvals.approve if approves else approvals.reject)(row, request.user, reason)
    except UserError as error:
        if error.status == 403:
            raise
        messages.error(request, error.message)
    else:
        moved = _("“{alias}” now points at v{number}.").format(alias=row.alias, number=row.to_number)
        messages.success(request, moved if approves else _("The request was rejected."))
    return _back(request)


@require_POST
def withdraw(request: MemberRequest, pk: int) -> HttpResponse:
    try:
        approvals.withdraw(_visible(request, pk), request.user)
    except UserError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("The request was withdrawn."))
    return _back(request)


def _back(request: MemberRequest) -> HttpResponse:
    """To the page with the form that was sent."""
    asked = request.POST.get("next", "")
    return redirect(asked if url_has_allowed_host_and_scheme(asked, None) else "models:approval-list")
