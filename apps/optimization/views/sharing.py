"""Views of public links to a report: the team's list of them, and the page that such a link opens."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, writes
from apps.accounts.services import require_role
from apps.optimization import services
from apps.optimization.columns import LINKS
from apps.optimization.forms.sharing import ShareForm
from apps.optimization.models import ReportLink
from apps.optimization.printed import pdf_response
from apps.optimization.views.sessions import visible_session
from apps.tables import csv_of_rows, wants_csv

PRIVATE = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
}
"""Headers of a page whose address is a secret: nothing keeps, lists or passes it on."""


@never_cache
@require_http_methods(["GET", "POST"])
def links(request: MemberRequest, pk: UUID) -> HttpResponseBase:
    """The links to one report; POST makes another, whose address is shown this once."""
    session = visible_session(request, pk)
    if wants_csv(request):
        return csv_of_rows(request, "links", LINKS, session.report_links.select_related("created_by"))
    if request.method == "POST":
        require_role(request.user, session.team, Role.ENGINEER)
    form = ShareForm(request.POST if request.method == "POST" else None)
    address, status = None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            _, token = services.share_report(session, request.user, form.cleaned_data["days"])
            address, status = request.build_absolute_uri(reverse("optimization:shared-report", args=[token])), 201
    context = {
        "session": session,
        "links": session.report_links.select_related("created_by"),
        "form": form if address is None else ShareForm(),
        "address": address,
        "on": services.links_are_on(),
        "writes": writes(request, session.team),
    }
    return render(request, "optimization/report_links.html", context, status=status)


@require_POST
def revoke(request: MemberRequest, pk: UUID, link: int) -> HttpResponse:
    session = visible_session(request, pk)
    services.revoke_link(get_object_or_404(ReportLink, session=session, pk=link), request.user)
    messages.success(request, _("The link was revoked. Nobody can open it any more."))
    return redirect("optimization:report-links", pk)


@login_not_required
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The report behind a link: nothing else of the team, no file, nowhere to go."""
    link, report = services.opened_link(token)
    context = {"link": link, "report": report, "token": token}
    return _private(render(request, "optimization/shared_report.html", context))


@login_not_required
@require_safe
def shared_pdf(request: HttpRequest, token: str) -> HttpResponse:
    """The same for paper. It has no way back to the link, which is a secret and expires."""
    _, report = services.opened_link(token)
    return _private(pdf_response(report))


def _private(response: HttpResponse) -> HttpResponse:
    for name, value in PRIVATE.items():
        response[name] = value
    return response
