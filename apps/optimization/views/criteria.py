"""Views of named criteria: list, detail, create, and change (which creates a new version)."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.forms import show_error
from apps.accounts.models import Role
from apps.accounts.requests import MemberRequest, current_team, writes
from apps.accounts.services import may, require_role
from apps.agents.contracts.criteria import Criteria
from apps.errors import UserError
from apps.listings import ORDERING, in_order
from apps.models.filters import id_of
from apps.optimization import criteria as services
from apps.optimization import default_criteria
from apps.optimization.columns import CRITERIA, LIST_OF_CRITERIA
from apps.optimization.criteria_diff import changes_of
from apps.optimization.default_criteria import defaults_of
from apps.optimization.errors.criteria import UnknownResolution
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.models import CriteriaSet
from apps.optimization.services import CriteriaCheck, checked
from apps.pages import KeyedPaginator
from apps.tables import csv_of_rows, wants_csv

FORM_ID = "criteria-form"
PAGE_SIZE = 25


@require_GET
def listing(request: MemberRequest) -> HttpResponseBase:
    """The team's criteria and the built-in profiles. HTMX requests get only the former."""
    current = CriteriaSet.objects.visible_to(request.user).current().select_related("team", "created_by")
    search = request.GET.get("search", "").strip()
    found = in_order(current.search(search), LIST_OF_CRITERIA, request.GET.get(ORDERING, ""))
    if wants_csv(request):
        mine = Q(team=None) | Q(team=request.team or None)
        return csv_of_rows(request, "criteria", CRITERIA, found.filter(mine))
    own = found.filter(team=request.team) if request.team else found.none()
    context = {
        "page": KeyedPaginator(own, PAGE_SIZE).get_page(request.GET.get("page")),
        "search": search,
        "writes": writes(request, request.team),
    }
    if request.htmx:
        return render(request, "optimization/_criteria_results.html", context)
    context["profiles"] = current.filter(team=None)
    return render(request, "optimization/criteria_list.html", context)


@require_GET
def detail(request: MemberRequest, pk: int) -> HttpResponse:
    shown = _visible(request, pk)
    versions = CriteriaSet.objects.filter(team=shown.team, name=shown.name).order_by("-version")
    form = CriteriaForm(initial={"name": shown.name, **CriteriaForm.answers_of(shown.criteria)})
    editable = shown.current and shown.team is not None and writes(request, shown.team)
    team = request.team if request.team and shown.team in (None, request.team) else None
    context = {
        "criteria_set": shown,
        "versions": changes_of(versions),
        "defaults": defaults_of(request.user, team) if team else None,
        "owns": team is not None and may(request.user, team, Role.OWNER),
        "form": form,
        "editable": editable,
        "writes": writes(request, request.team),
    }
    return render(request, "optimization/criteria_detail.html", context)


@require_http_methods(["GET", "POST"])
def new(request: MemberRequest) -> HttpResponse:
    current_team(request)
    if request.method == "POST":
        return _save(request, None)
    start = Criteria()
    origin = request.GET.get("from", "")
    if (pk := id_of(origin)) is not None:
        start = _visible(request, pk).criteria
    return _form_page(request, CriteriaForm(initial=CriteriaForm.answers_of(start)), None)


@require_http_methods(["GET", "POST"])
def edit(request: MemberRequest, pk: int) -> HttpResponse:
    shown = _visible(request, pk)
    require_role(request.user, shown.team or current_team(request), Role.ENGINEER)
    if request.method == "POST":
        return _save(request, shown)
    initial = {"name": shown.name, "description": shown.description, **CriteriaForm.answers_of(shown.criteria)}
    return _form_page(request, CriteriaForm(initial=initial), shown)


@require_POST
def default(request: MemberRequest, pk: int) -> HttpResponse:
    """Make these criteria the team's default or the member's own, or no longer."""
    shown, team = _visible(request, pk), current_team(request)
    personal = request.POST.get("for") != "team"
    wanted = None if "remove" in request.POST else shown
    try:
        default_criteria.set_default(team, wanted, user=request.user, personal=personal)
        messages.success(request, _default_in_words(wanted, personal=personal))
    except UserError as error:
        messages.error(request, str(error))
    return redirect(shown)


def _default_in_words(wanted: CriteriaSet | None, *, personal: bool) -> str:
    if wanted is None:
        return _("Your default was removed.") if personal else _("The team's default was removed.")
    sentence = _("Your default is {criteria}.") if personal else _("The team's default is {criteria}.")
    return sentence.format(criteria=wanted)


def _visible(request: MemberRequest, pk: int) -> CriteriaSet:
    return get_object_or_404(CriteriaSet.objects.visible_to(request.user).select_related("team"), pk=pk)


def _save(request: MemberRequest, edited: CriteriaSet | None) -> HttpResponse:
    form = CriteriaForm(request.POST)
    valid = form.is_valid()
    if "check" in request.POST or "resolution" in request.POST:
        # Criteria can be judged before they have a name.
        return _checked_page(request, form, edited) if form.criteria else _form_page(request, form, edited)
    if not valid or form.criteria is None:
        return _form_page(request, form, edited, 422)
    answers = {"description": form.cleaned_data["description"], "criteria": form.criteria, "user": request.user}
    try:
        if edited is None:
            saved = services.create(team=request.team, name=form.cleaned_data["name"], **answers)
        else:
            saved = services.change(edited, name=form.cleaned_data["name"], **answers)
    except UserError as error:
        show_error(form, error)
        return _form_page(request, form, edited, error.status, check=checked(form.criteria))
    messages.success(request, _("{criteria} was saved and applies to new sessions.").format(criteria=saved))
    return redirect(saved)


def _checked_page(request: MemberRequest, form: CriteriaForm, edited: CriteriaSet | None) -> HttpResponse:
    """The form with the conflicts of its answers, once the chosen resolution is applied to them. Saves nothing."""
    assert form.criteria is not None, "its answers are valid"
    # HTMX adds the button that was clicked last to what a changed answer sends.
    chosen = [] if request.htmx.trigger == FORM_ID else request.POST.getlist("resolution")
    try:
        check = checked(form.criteria, resolutions=chosen)
    except UnknownResolution:  # The answers changed since the button was shown.
        check = checked(form.criteria)
    if check.applied:
        named = {name: form.data.get(name, "") for name in ("name", "description")}
        form = CriteriaForm(initial={**named, **CriteriaForm.answers_of(check.criteria)})
    return _form_page(request, form, edited, check=check)


def _form_page(
    request: MemberRequest,
    form: CriteriaForm,
    edited: CriteriaSet | None,
    status: int = 200,
    check: CriteriaCheck | None = None,
) -> HttpResponse:
    """The whole page, or for HTMX only its form. A form that is shown for the first time is checked as well."""
    if check is None and not form.is_bound:
        check = checked(edited.criteria) if edited else None
    template = "optimization/_criteria_form.html" if request.htmx else "optimization/criteria_form.html"
    return render(request, template, {"form": form, "edited": edited, "check": check}, status=status)
