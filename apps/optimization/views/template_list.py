"""The list of the team's templates, of all its models."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from apps.accounts.bulk_pages import bulk_page
from apps.accounts.requests import MemberRequest, current_team, writes
from apps.listings import ORDERING, in_order
from apps.optimization import services
from apps.optimization.columns import LIST_OF_TEMPLATES, TEMPLATES
from apps.optimization.models import SessionTemplate
from apps.optimization.querysets import SessionTemplateQuerySet
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv
from apps.texts import storable

PAGE_SIZE = 25


def _of_team(request: MemberRequest) -> SessionTemplateQuerySet[SessionTemplate]:
    rows = SessionTemplate.objects.visible_to(request.user).filter(model__team=request.team or None)
    return rows.select_related("model__team", "dataset", "criteria_set", "created_by")


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The current team's templates. HTMX requests get only the results."""
    search, rows = request.GET.get("search", "").strip(), _of_team(request)
    for word in storable(search).split():
        rows = rows.filter(Q(name__icontains=word) | Q(model__name__icontains=word))
    rows = in_order(rows, LIST_OF_TEMPLATES, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        return csv_of_rows(request, "templates", TEMPLATES, rows)
    page = KeyedPaginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "search": search,
        "acts": services.TEMPLATE_ACTS.values() if page.object_list or search else (),
        "writes": writes(request, request.team),
    }
    template = "optimization/_template_results.html" if request.htmx else "optimization/template_list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def bulk(request: MemberRequest) -> HttpResponse:
    """What would happen to the chosen templates; POST does it."""
    current_team(request)
    rows, back = _of_team(request).order_by("name"), reverse("optimization:template-list")
    return bulk_page(request, services.TEMPLATE_ACTS, rows, kind="template", back=back)
