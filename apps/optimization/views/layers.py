"""The page of a session's layers beside the graph, to sort, and to keep some of them in float in a new plan."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest, writes
from apps.errors import UserError
from apps.languages import within_a_sentence
from apps.models import netron
from apps.optimization import services
from apps.optimization.columns import LAYERS
from apps.optimization.services.layers import LayerLine
from apps.optimization.views.sessions import visible_session
from apps.tables import csv_of, wants_csv

COLUMNS = {
    "graph": _("Layer"),
    "operator": _("Operator"),
    "time": _("Time"),
    "macs": "MACs",
    "bytes": _("Bytes"),
    "sensitivity": _("Sensitivity"),
    "precision": _("Precision"),
}
"""By what the layers can be sorted: first in the order of the graph."""
LEAST_FIRST = ("operator", "sensitivity", "precision")


@require_safe
def layers(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The layers of the original beside those of the candidate in the query, sorted by the column in the query."""
    session = visible_session(request, pk)
    try:
        found = services.session_layers(session, request.GET.get("candidate", ""))
    except UserError as error:
        return render(request, "optimization/layers.html", {"session": session, "error": error}, status=error.status)
    by = request.GET.get("by", "graph")
    lines = _sorted(found.lines, by)
    if wants_csv(request):
        return csv_of("layers", LAYERS, lines)
    directions = {name: "ascending" if name in LEAST_FIRST else "descending" for name in COLUMNS if name != "graph"}
    context = {
        "session": session,
        "found": found,
        "lines": lines,
        "by": by if by in COLUMNS else "graph",
        "sorted_by": within_a_sentence(COLUMNS.get(by, "")),
        "columns": [(name, label, directions.get(name, "ascending")) for name, label in COLUMNS.items()],
        "drawn": netron.draws(session.version),
        "graph_url": reverse("models:version-graph", args=[session.version.model_id, session.version.number]),
        "keeps": session.compared_id is None and writes(request, session.team),
    }
    return render(request, "optimization/layers.html", context)


def _sorted(lines: tuple[LayerLine, ...], by: str) -> list[LayerLine]:
    """What is not known comes last."""
    return sorted(lines, key=lambda line: _rank(line, by))


def _rank(line: LayerLine, by: str) -> tuple[Any, ...]:
    layer = line.layer
    match by:
        case "operator":
            return layer.op_type, layer.name
        case "time":
            return layer.time_ms is None, -(layer.time_ms or 0.0)
        case "macs":
            return layer.macs is None, -(layer.macs or 0)
        case "bytes":
            return (-layer.weight_bytes,)
        case "sensitivity":
            return layer.sqnr_db is None, layer.sqnr_db or 0.0
        case "precision":
            return line.candidate is None, line.candidate.precision if line.candidate else ""
        case _:
            return ()
