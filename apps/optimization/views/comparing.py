"""The page that starts a comparison: two versions measured in turns, and judged by limits."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.forms import show_error
from apps.accounts.models import Team
from apps.accounts.requests import MemberRequest, current_team
from apps.errors import UserError
from apps.models.models import ModelVersion
from apps.optimization import services
from apps.optimization.default_criteria import defaults_of
from apps.optimization.errors.side_by_side import ComparedItemUnknown
from apps.optimization.forms.comparing import CompareForm
from apps.optimization.side_by_side.selection import PARAMETER, Kind, selected


@require_http_methods(["GET", "POST"])
def new(request: MemberRequest) -> HttpResponse:
    """The question, filled in from the address: `version` and `compared`, or two versions as `item`."""
    team = current_team(request)
    form, status = (_first_form(request, team), 200) if request.method == "GET" else (_given(request, team), 422)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(services.session_compare(user=request.user, **form.cleaned_data))
        except UserError as error:
            show_error(form, error)
            status = max(status, error.status)
    return render(request, "optimization/session_compare.html", {"form": form}, status=status)


def _given(request: MemberRequest, team: Team) -> CompareForm:
    return CompareForm(request.POST, user=request.user, team=team)


def _first_form(request: MemberRequest, team: Team) -> CompareForm:
    defaults = defaults_of(request.user, team)
    start = {"criteria_set": str(defaults.used.pk)} if defaults.used else {}
    form = CompareForm(user=request.user, team=team, initial={**start, **request.GET.dict(), **_ticked(request)})
    form.fields[
        "criteria_set"
    ].help_text = f"{escape(defaults.sentence)} {_('Only their limits, target and confidence matter.')}"
    return form


def _ticked(request: MemberRequest) -> dict[str, object]:
    """The first two versions that were ticked. The one with an alias stands, or else the older one.

    Raises the errors of `selected`.
    """
    if PARAMETER not in request.GET:
        return {}
    items = selected(request.GET.getlist(PARAMETER))
    if items[0].kind is not Kind.VERSION:
        raise ComparedItemUnknown(field=PARAMETER, item=str(items[0]))
    pks = [item.version for item in items]
    found = ModelVersion.objects.visible_to(request.user).filter(pk__in=pks[:2]).prefetch_related("aliases")
    rows = sorted(found, key=lambda row: (not row.aliases.all(), row.number, row.pk))
    return {"version": rows[0].pk, "compared": rows[1].pk} if len(rows) > 1 else {}
