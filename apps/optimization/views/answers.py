"""The page of what both models answered, example by example."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.accounts.requests import MemberRequest
from apps.agents.contracts.reports.answers import AnswerKind, Turn
from apps.errors import UserError
from apps.optimization import services
from apps.optimization.answer_plots import Bars, matrices
from apps.optimization.columns import CHANGED_ANSWERS
from apps.optimization.pictures import picture_response
from apps.optimization.views.sessions import visible_session
from apps.tables import csv_of, wants_csv

WORST = 10
"""How many classes and groups are named. The report has all."""


@require_safe
def answers(request: MemberRequest, pk: UUID) -> HttpResponse:
    """The answers of the candidate in the query; of what the session delivers without one."""
    session = visible_session(request, pk)
    try:
        found = services.session_answers(session, request.GET.get("candidate", ""))
    except UserError as error:
        context = {"session": session, "error": error}
        return render(request, "optimization/answers.html", context, status=error.status)
    turn = request.GET.get("turn", "")
    shown = [one for one in found.answers.shown if turn not in set(Turn) or one.turn == turn]
    if wants_csv(request):
        return csv_of("predictions", CHANGED_ANSWERS, shown)
    context = {
        "session": session,
        "found": found,
        "answers": found.answers,
        "shown": shown,
        "turn": turn,
        "turns": [(one, found.answers.of(one)) for one in Turn],
        "by_class": found.answers.kind is AnswerKind.CLASSES,
        "matrices": matrices(found.answers.confusion) if found.answers.confusion else (),
        "histograms": [Bars(one) for one in found.answers.histograms],
        "classes": [one for one in found.classes if one.candidate_recall < one.original_recall][:WORST],
        "groups": [one for one in found.groups if one.drop.value > 0][:WORST],
    }
    return render(request, "optimization/answers.html", context)


@require_safe
def picture(request: MemberRequest, pk: UUID, candidate: str, name: str) -> HttpResponse:
    """One example's picture."""
    return picture_response(services.example_picture(visible_session(request, pk), candidate, name))
