"""The page of a comparison. Its address holds the selection, so it opens for every member of the team."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest, writes
from apps.errors import UserError
from apps.languages import in_english
from apps.optimization.side_by_side.comparison import Comparison, as_csv, comparison
from apps.optimization.side_by_side.selection import FEWEST, MOST, PARAMETER, address
from apps.optimization.side_by_side.version_readings import row_id
from apps.tables import csv_file, wants_csv

ONLY = "only"


@require_safe
def compare(request: MemberRequest) -> HttpResponse:
    """What the address names, side by side. Without anything to compare, how to choose it."""
    context: dict[str, object] = {"fewest": FEWEST, "most": MOST}
    if PARAMETER not in request.GET:
        return render(request, "optimization/compare.html", context)
    try:
        if wants_csv(request):
            return _file(request)
        found = _asked(request)
    except UserError as error:
        return render(request, "optimization/compare.html", {**context, "error": error}, status=error.status)
    only = request.GET.get(ONLY) == "differences"
    items = [side.item for side in found.sides.all]
    chosen = {"dataset": str(found.sides.dataset.id)} if found.sides.dataset else {}
    versions = [side.version for side in found.sides.all]
    context |= {
        "found": found,
        "value": found.value,
        "pictures": found.overlays,
        "only": only,
        "items": items,
        "query": address(items, **chosen),
        "toggled": address(items, **chosen, **({} if only else {ONLY: "differences"})),
        "measurable": versions if found.sides.of_versions else [],
        "writes": writes(request, versions[0].model.team),
    }
    return render(request, "optimization/compare.html", context)


def _file(request: MemberRequest) -> HttpResponse:
    """Programs read it, so it is in English."""
    with in_english():
        return csv_file("comparison", as_csv(_asked(request).value))


def _asked(request: MemberRequest) -> Comparison:
    return comparison(request.GET.getlist(PARAMETER), request.user, row_id(request.GET.get("dataset")))
