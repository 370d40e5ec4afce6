"""Views of the browsers in which one is logged in."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import logins
from apps.accounts.columns import LIST_OF_LOGINS, LOGINS
from apps.accounts.requests import MemberRequest
from apps.listings import ORDERING, in_order
from apps.tables import csv_of_rows, wants_csv


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    rows = in_order(logins.logins_of(request.user), LIST_OF_LOGINS, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "logins", LOGINS, rows)
    context = {"logins": rows, "listing": LIST_OF_LOGINS, "here": request.session.session_key}
    return render(request, "accounts/logins.html", context)


@require_POST
def end(request: MemberRequest, pk: int) -> HttpResponse:
    login = get_object_or_404(logins.logins_of(request.user).select_related("session", "user"), pk=pk)
    logins.end_login(login, by=request.user)
    messages.success(request, _("{device} was logged out.").format(device=login.device))
    return redirect("accounts:logins")


@require_POST
def end_others(request: MemberRequest) -> HttpResponse:
    ended = logins.end_other_logins(request.user, request.session.session_key)
    messages.success(request, _("Logged out elsewhere: {ended}.").format(ended=ended))
    return redirect("accounts:logins")
