"""The page of a session's layers beside the graph, to sort, and to keep some of them in float in a new plan."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest, writes
from apps.errors import UserError
from apps.languages import within_a_sentence
from apps.listings import ORDERING, Column, asked_of
from apps.models import netron
from apps.optimization import services
from apps.optimization.columns import LAYERS, LIST_OF_LAYERS
from apps.optimization.services.layers import LayerLine
from apps.optimization.views.sessions import visible_session
from apps.tables import csv_of, wants_csv


@require_safe
def layers(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The layers of the original beside those of the candidate in the query, sorted by the column in the query."""
    session = visible_session(request, pk)
    try:
        found = services.session_layers(session, request.GET.get("candidate", ""))
    except UserError as error:
        return render(request, "optimization/layers.html", {"session": session, "error": error}, status=error.status)
    asked = asked_of(LIST_OF_LAYERS, request.GET.get(ORDERING, ""))
    lines = _in_order(found.lines, asked)
    if wants_csv(request):
        return csv_of("layers", LAYERS, lines)
    context = {
        "session": session,
        "found": found,
        "lines": lines,
        "listing": LIST_OF_LAYERS,
        "sorted_by": within_a_sentence(asked[0][0].label) if asked else "",
        "drawn": netron.draws(session.version),
        "graph_url": reverse("models:version-graph", args=[session.version.model_id, session.version.number]),
        "keeps": session.compared_id is None and writes(request, session.team),
    }
    return render(request, "optimization/layers.html", context)


def _in_order(lines: tuple[LayerLine, ...], asked: list[tuple[Column, bool]]) -> list[LayerLine]:
    """What is not known comes last, and what is equal stays in the order of the graph."""
    found = list(lines)
    for column, falls in reversed(asked):
        known = [line for line in found if _value(line, column.name) is not None]
        known.sort(key=lambda line, name=column.name: _value(line, name), reverse=falls)  # type: ignore[misc]
        found = known + [line for line in found if _value(line, column.name) is None]
    return found


def _value(line: LayerLine, column: str) -> Any:
    match column:
        case "layer":
            return line.layer.name
        case "operator":
            return line.layer.op_type
        case "time":
            return line.layer.time_ms
        case "macs":
            return line.layer.macs
        case "bytes":
            return line.layer.weight_bytes
        case "sensitivity":
            return line.layer.sqnr_db
        case _:
            return line.candidate.precision if line.candidate else None
