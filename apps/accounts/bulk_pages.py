"""The frame of pages that act on several rows of the current team."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.accounts.requests import MemberRequest, current_team
from apps.bulk import Act, Row, act_named, act_on_each, chosen_rows


def bulk_page(
    request: MemberRequest, acts: Mapping[str, Act[Row]], rows: QuerySet[Row], *, kind: str, back: str
) -> HttpResponse:
    """GET lists what `act` of the query would do to the rows that are ticked (`item`); POST does it, and tells of each
    row how it went.

    Raises `PermissionDenied` below engineer, `NoTeam`, and the errors of `apps.bulk`.
    """
    current_team(request)
    asked = request.POST if request.method == "POST" else request.GET
    act = act_named(acts, asked.get("act", ""))
    chosen = chosen_rows(rows, asked.getlist("item"), f"{kind}:")
    context: dict[str, object] = {"act": act, "kind": kind, "title": _column(kind), "back": back}
    if request.method == "POST":
        outcomes = act_on_each(chosen, lambda row: act.act(row, request.user))
        context |= {"done": [one for one in outcomes if one.done], "failed": [one for one in outcomes if not one.done]}
        context["number_done"] = counted(kind, len(context["done"]))  # type: ignore[arg-type]
        return render(request, "accounts/bulk_done.html", context)
    context["rows"] = [(row, act.why_not(row)) for row in chosen]
    possible = sum(not why for _row, why in context["rows"])  # type: ignore[attr-defined]
    context |= {
        "possible": possible,
        "number_chosen": counted(kind, len(chosen)),
        "number_possible": counted(kind, possible),
    }
    return render(request, "accounts/bulk_confirm.html", context)


def counted(kind: str, count: int) -> str:
    """`3 sessions`, in the reader's language. `kind` is what stands before the keys of the rows."""
    if kind == "session":
        return ngettext("{count} session", "{count} sessions", count).format(count=count)
    if kind == "model":
        return ngettext("{count} model", "{count} models", count).format(count=count)
    return ngettext("{count} data set", "{count} data sets", count).format(count=count)


def _column(kind: str) -> str:
    return {"session": _("Session"), "model": _("Model"), "data set": _("Data set")}[kind]
