"""Views that edit the plan of a new session. Nothing is stored before the start: the page carries the edits along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_POST
from django_htmx.http import reswap, retarget

from apps.accounts.errors import NoTeam
from apps.accounts.requests import MemberRequest
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import MOST_LINKS, ChainName, NamedLink, PlanEdits
from apps.agents.planning.drafts import Drafts
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue
from apps.errors import UserError
from apps.optimization import plan_moves, services
from apps.optimization.default_criteria import precedence
from apps.optimization.edited_plan import layer_table, read_name, rows, shown, ticked_layers, written
from apps.optimization.errors.criteria import UnknownResolution
from apps.optimization.forms.starting import SessionForm
from apps.optimization.forms.what_if import WhatIfForm
from apps.optimization.parameter_forms import ParametersForm
from apps.optimization.readings import one_reading

View = Callable[..., HttpResponse]
_BUTTON_STAYS = ("pin", "unpin", "up", "down")
"""Moves after which the button is still there and keeps the focus."""


def in_one_reading(view: View) -> View:
    """A view for whose answer the state of the installation is read once."""

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> HttpResponse:
        with one_reading():
            return view(*args, **kwargs)

    return answered


def question(request: MemberRequest) -> SessionForm:
    """The question of a new session, with the edits so far. Raises `NoTeam`."""
    if not request.team:
        raise NoTeam()
    return SessionForm(_answers(request), user=request.user, team=request.team)


def _answers(request: MemberRequest) -> QueryDict:
    return request.POST if request.method == "POST" else request.GET


def preview_page(
    request: MemberRequest, form: SessionForm, edits: PlanEdits | None = None, *, focused: bool = False
) -> HttpResponse:
    """The preview of a session with these edits, or with those of the form. `focused`: the plan's heading gets the
    focus, because the button that had it is gone."""
    context: dict[str, Any] = {"form": form, "edits_json": form["edits"].value() or "", "focused": focused}
    valid = form.is_valid()
    if (version := form.cleaned_data.get("version")) is not None:
        context |= {"version": version, "templates": version.model.session_templates.all()}
    if valid:
        chosen = form.cleaned_data
        edits = chosen["edits"] if edits is None else edits
        context["edits_json"] = edits.model_dump_json() if edits.count else ""
        chosen["precedence"] = precedence(chosen["criteria_set"], request.user, chosen["version"].model.team)
        context |= _previewed(chosen, edits, _answers(request).getlist("resolution"))
    return render(request, "optimization/_session_preview.html", context)


def _previewed(chosen: dict[str, Any], edits: PlanEdits, resolutions: list[str]) -> dict[str, Any]:
    """The context of a preview with the resolutions applied, or of the error that would stop the start."""
    named = {name: chosen[name] for name in ("version", "dataset", "student", "precedence")}
    criteria = chosen["criteria"]
    context: dict[str, Any] = {"criteria_set": chosen["criteria_set"]}
    try:
        preview = services.session_preview(**named, criteria=criteria, resolutions=resolutions, edits=edits)
    except UnknownResolution:  # The criteria or what is known have changed since the button was shown.
        return _previewed(chosen, edits, [])
    except UserError as error:
        return context | {"error": error, "check": _checked_anyway(named, criteria, resolutions)}
    return context | {
        "preview": preview,
        "check": preview,
        "decides": preview.decidability,
        "use": preview.use,
        "asked": WhatIfForm(initial=WhatIfForm.answers_of(preview.criteria, chosen["dataset"])),
        "rows": rows(preview.plan, edits),
        "edits": edits,
        "outcomes": shown(preview.plan.edits),
        "table": layer_table(preview.layers, edits, edits.kept_layers) if preview.layers else None,
        "editor": _Editor(drafts=_drafts(chosen, preview.criteria)),
    }


def _checked_anyway(named: dict[str, Any], criteria: Criteria, resolutions: list[str]) -> services.CriteriaCheck | None:
    """The conflicts of a session that cannot start; `None` if its rows do not go together."""
    try:
        return services.checked_with_rows(criteria, **named, resolutions=resolutions)
    except UserError:
        return None


def _drafts(chosen: dict[str, Any], criteria: Criteria) -> Drafts:
    return services.drafts_for(chosen["version"], chosen["dataset"], criteria, chosen["student"])


def _drafts_of(request: MemberRequest, chosen: dict[str, Any]) -> Drafts:
    """The same under the criteria with the resolutions that the page carries along."""
    named = {name: chosen[name] for name in ("version", "dataset", "student")}
    named["precedence"] = precedence(chosen["criteria_set"], request.user, chosen["version"].model.team)
    criteria = chosen["criteria"]
    check = _checked_anyway(named, criteria, request.POST.getlist("resolution"))
    return _drafts(chosen, check.criteria if check else criteria)


# --- one edit ---------------------------------------------------------------------------------------------------------


@require_POST
@in_one_reading
def edit(request: MemberRequest) -> HttpResponse:
    """Makes one edit, which the button's `move` names, and shows the plan with it."""
    form = question(request)
    if not form.is_valid():
        return preview_page(request, form)
    edits, move = form.cleaned_data["edits"], request.POST.get("move", "")
    name = read_name(request.POST.get("chain", ""))
    if move in ("add", "set"):
        return _edit_by_form(request, form, edits)
    if name is not None and move in plan_moves.BY_NAME:
        edits = plan_moves.BY_NAME[move](edits, name)
    elif move == "undo":
        edits = plan_moves.undone(edits, request.POST.get("field", ""))
    elif move == "keep":
        edits = plan_moves.kept(edits, tuple(ticked_layers(request.POST)))
    elif move == "reset":
        edits = plan_moves.reset(edits)
    return preview_page(request, form, edits, focused=move not in _BUTTON_STAYS)


def _edit_by_form(request: MemberRequest, form: SessionForm, edits: PlanEdits) -> HttpResponse:
    """Adds a chain or sets parameters. An answer that is not allowed shows the form again."""
    editor = _editor(request.POST, _drafts_of(request, form.cleaned_data))
    if not editor.is_valid():
        return retarget(reswap(_editor_page(request, editor), "outerHTML"), "#plan-chain")
    if editor.changing is not None:
        edits = plan_moves.changed(edits, editor.changing, editor.changes)
    else:
        edits = plan_moves.added(edits, editor.name)
    return preview_page(request, form, edits, focused=True)


# --- the form of a chain ----------------------------------------------------------------------------------------------


@dataclass
class _Editor:
    """The form that adds a chain, technique by technique, or sets the parameters of a planned one (`changing`)."""

    drafts: Drafts
    before: ChainName = ()
    """The techniques that were chosen already."""
    forms: tuple[ParametersForm, ...] = ()
    """The parameters that are asked for: of the next technique, or of all."""
    changing: ChainName | None = None
    now: ChainName = ()
    """The candidate that is changed, as it is now."""
    open: bool = False

    def is_valid(self) -> bool:
        """Whether all answers are allowed. Each form is asked, so that each shows its errors."""
        valid = [form.is_valid() for form in self.forms]
        return bool(valid) and all(valid)

    @property
    def name(self) -> ChainName:
        return (*self.before, *(form.link for form in self.forms))

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        return {form.spec.name: form.changes for form in self.forms}

    @property
    def draft(self) -> str:
        return written(self.before)

    @property
    def chosen(self) -> str:
        return self.forms[0].spec.name if self.forms else ""

    @property
    def labels(self) -> list[str]:
        """The chosen techniques."""
        return [catalogue()[link.technique].label for link in self.before]

    @property
    def options(self) -> list[TechniqueSpec]:
        """The techniques that may come next."""
        if len(self.before) >= MOST_LINKS:
            return []
        return [spec for spec in self.drafts.specs.values() if self._may_follow(spec)]

    def _may_follow(self, spec: TechniqueSpec) -> bool:
        return self.drafts.why_not((*self.before, NamedLink(technique=spec.name))) is None

    @property
    def changing_json(self) -> str:
        return written(self.changing) if self.changing else ""

    @property
    def now_json(self) -> str:
        return written(self.now)


@require_POST
@in_one_reading
def chain(request: MemberRequest) -> HttpResponse:
    """The form of a chain: with another technique (`then`), with a technique's parameters, or with a candidate's."""
    form = question(request)
    if not form.is_valid():
        return preview_page(request, form)
    move = request.POST.get("move", "")
    editor = _editor(request.POST, _drafts_of(request, form.cleaned_data), bound=move == "then")
    if move == "then" and editor.is_valid():
        editor = _Editor(editor.drafts, before=editor.name, open=True)
    return _editor_page(request, editor)


def _editor(data: QueryDict, drafts: Drafts, *, bound: bool = True) -> _Editor:
    """The form as the request describes it. With `bound`, it has the typed answers."""
    if (changing := _known(read_name(data.get("chain", "")))) is not None:
        now = _known(read_name(data.get("now", ""))) or changing
        answers = data if bound and data.get("move") == "set" else None
        return _Editor(drafts, forms=tuple(_forms(now, answers)), changing=changing, now=now, open=True)
    before = _known(read_name(data.get("draft", ""))) or ()
    technique = data.get("technique", "")
    asked = (NamedLink(technique=technique),) if technique in catalogue() else ()
    return _Editor(drafts, before=before, forms=tuple(_forms(asked, data if bound else None)), open=True)


def _known(name: ChainName | None) -> ChainName | None:
    """The name if all of its techniques are in the catalogue."""
    return name if name and all(link.technique in catalogue() for link in name) else None


def _forms(links: Iterable[NamedLink], data: QueryDict | None) -> Iterable[ParametersForm]:
    for place, link in enumerate(links):
        yield ParametersForm(catalogue()[link.technique], link.parameters, data, prefix=f"link{place}")


def _editor_page(request: MemberRequest, editor: _Editor) -> HttpResponse:
    return render(request, "optimization/_plan_chain.html", {"editor": editor})


# --- layers -----------------------------------------------------------------------------------------------------------


@require_POST
@in_one_reading
def layers(request: MemberRequest) -> HttpResponse:
    """The table of layers in another order, or those that contain some words. Ticks stay."""
    form = question(request)
    if not form.is_valid():
        return preview_page(request, form)
    known = services.layers_of(form.cleaned_data["version"])
    edits, rank, words = form.cleaned_data["edits"], request.POST.get("rank", ""), request.POST.get("words", "")
    table = layer_table(known, edits, ticked_layers(request.POST), rank, words)
    return render(request, "optimization/_plan_layers.html", {"table": table})
