"""The frame of pages that act on several rows of the current team."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.accounts.requests import MemberRequest
from apps.bulk import Act, Row, act_named, act_on_each, chosen_rows
from apps.texts import storable


def bulk_page(
    request: MemberRequest,
    acts: Mapping[str, Act[Row]],
    rows: QuerySet[Row],
    *,
    kind: str,
    back: str,
    field: str = "pk",
) -> HttpResponse:
    """GET lists what `act` of the query would do to the rows that are ticked (`item`, by their `field`); POST does it,
    and tells of each row how it went. The caller has checked the member's role, or the rows are the member's own.

    Raises the errors of `apps.bulk`.
    """
    asked = request.POST if request.method == "POST" else request.GET
    act = act_named(acts, asked.get("act", ""))
    chosen = chosen_rows(rows, map(storable, asked.getlist("item")), f"{kind}:", field)
    context: dict[str, object] = {"act": act, "kind": kind, "title": _column(kind), "back": back}
    if request.method == "POST":
        outcomes = act_on_each(chosen, lambda row: act.act(row, request.user))
        context |= {"done": [one for one in outcomes if one.done], "failed": [one for one in outcomes if not one.done]}
        context["number_done"] = counted(kind, len(context["done"]))  # type: ignore[arg-type]
        return render(request, "accounts/bulk_done.html", context)
    shown = [(row, f"{kind}:{getattr(row, field)}", act.why_not(row)) for row in chosen]
    possible = sum(not why for _row, _key, why in shown)
    context |= {
        "rows": shown,
        "possible": possible,
        "number_chosen": counted(kind, len(chosen)),
        "number_possible": counted(kind, possible),
    }
    return render(request, "accounts/bulk_confirm.html", context)


def counted(kind: str, count: int) -> str:
    """`3 sessions`, in the reader's language. `kind` is what stands before the keys of the rows."""
    match kind:
        case "session":
            words = ngettext("{count} session", "{count} sessions", count)
        case "model":
            words = ngettext("{count} model", "{count} models", count)
        case "token":
            words = ngettext("{count} token", "{count} tokens", count)
        case "service account":
            words = ngettext("{count} service account", "{count} service accounts", count)
        case "template":
            words = ngettext("{count} template", "{count} templates", count)
        case "delivery":
            words = ngettext("{count} message", "{count} messages", count)
        case _:
            words = ngettext("{count} data set", "{count} data sets", count)
    return words.format(count=count)


def _column(kind: str) -> str:
    return {
        "session": _("Session"),
        "model": _("Model"),
        "token": _("Token"),
        "service account": _("Service account"),
        "template": _("Template"),
        "delivery": _("Message"),
        "data set": _("Data set"),
    }[kind]
