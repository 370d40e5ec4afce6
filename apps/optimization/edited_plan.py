"""What the page of a new session shows of a plan that can be edited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter
from pydantic import ValidationError as InvalidValue

from apps.agents.contracts.phrasing import capitalized
from apps.agents.contracts.plan_edits import NO_EDITS, ChainName, EditKind, EditOutcome, PlanEdits, name_of
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.contracts.state import CandidateRecord, Plan
from apps.agents.techniques.compatibility import format_label
from apps.errors import UserError
from apps.optimization.services.edits import AnalysedLayers, parse_edits

_NAME: TypeAdapter[ChainName] = TypeAdapter(ChainName)
_NAMES: TypeAdapter[list[str]] = TypeAdapter(list[str])
MOST_SHOWN = 400
"""As many layers as a page shows; the others are found by their name."""


class PlanEditsField(forms.CharField):
    """Edits of a plan as JSON, which the page carries along."""

    widget = forms.HiddenInput({"form": "session-question"})

    def clean(self, value: Any) -> PlanEdits:
        text = super().clean(value)
        try:
            return parse_edits(json.loads(text)) if text else NO_EDITS
        except UserError as error:
            raise ValidationError(error.message, code=error.code) from error
        except (TypeError, ValueError) as error:
            raise ValidationError(
                gettext("The edits are not JSON: {error}.").format(error=error), code="invalid"
            ) from error


def written(name: Sequence[Any]) -> str:
    """A chain's name as text for a form."""
    return json.dumps([link.model_dump(mode="json") for link in name])


def read_name(text: str) -> ChainName | None:
    """A chain's name from a form; `None` if it is none."""
    try:
        return _NAME.validate_json(text)
    except InvalidValue:
        return None


@dataclass(frozen=True)
class PlannedRow:
    """A planned candidate with the name that edits give it."""

    candidate: CandidateRecord
    edits: PlanEdits

    @property
    def name(self) -> ChainName:
        asked = self.candidate.asked
        return asked.name if asked else name_of(self.candidate.steps)

    @property
    def values(self) -> str:
        """What its buttons send along."""
        return json.dumps({"chain": written(self.name), "now": written(name_of(self.candidate.steps))})

    @property
    def mark(self) -> str:
        """A short name for ids of elements, which stays when the plan changes."""
        return hashlib.sha256(written(self.name).encode()).hexdigest()[:10]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was edited about it, in words."""
        asked = self.candidate.asked
        return tuple(str(_WORDS[kind]) for kind in asked.kinds) if asked else ()

    @property
    def pinned(self) -> bool:
        return self.name in self.edits.pinned

    @property
    def first(self) -> bool:
        return self.pinned and self.edits.pinned[0] == self.name

    @property
    def last(self) -> bool:
        return self.pinned and self.edits.pinned[-1] == self.name


_WORDS: Mapping[EditKind, Promise] = {
    EditKind.REMOVED: _("removed"),
    EditKind.PINNED: _("pinned"),
    EditKind.ADDED: _("added"),
    EditKind.CHANGED: _("parameters set"),
    EditKind.KEPT_LAYERS: _("layers in float"),
}


def edits_in_words(edits: PlanEdits) -> str:
    """How much was edited: `1 removed, 2 pinned, 12 layers in float`."""
    counts = {kind: len(getattr(edits, kind)) for kind in EditKind if kind is not EditKind.KEPT_LAYERS}
    parts = [
        f"{count} {_WORDS[kind] if kind is not EditKind.CHANGED else gettext('changed')}"
        for kind, count in counts.items()
        if count
    ]
    if layers := len(edits.kept_layers):
        words = ngettext("{number} layer in float", "{number} layers in float", layers)
        parts.append(words.format(number=layers))
    return ", ".join(parts)


def rows(plan: Plan, edits: PlanEdits) -> list[PlannedRow]:
    return [PlannedRow(candidate, edits) for candidate in plan.candidates]


@dataclass(frozen=True)
class ShownEdit:
    """One edit with what became of it."""

    outcome: EditOutcome

    @property
    def word(self) -> str:
        return capitalized(str(_WORDS[self.outcome.kind]))


def shown(outcomes: Iterable[EditOutcome]) -> list[ShownEdit]:
    return [ShownEdit(one) for one in outcomes]


# --- layers -----------------------------------------------------------------------------------------------------------

RANKS = {
    "name": _("Layer"),
    "operator": _("Operator"),
    "time": _("Share of time"),
    "bytes": _("Bytes"),
    "sensitivity": _("Sensitivity"),
}
"""The columns by which layers are ranked."""


@dataclass(frozen=True)
class LayerRow:
    """A layer that may stay in float."""

    layer: Layer
    form: str
    """The format of the form of the model that has it."""
    ticked: bool


@dataclass(frozen=True)
class LayerTable:
    """The layers of a model in a chosen order, as far as they contain some words."""

    rows: list[LayerRow]
    hidden: list[str]
    """Ticked layers that are not shown."""
    rank: str
    words: str
    found: int
    several: bool
    """Whether they are those of several forms of the model."""
    edits: PlanEdits

    @property
    def hidden_json(self) -> str:
        """As one field of the form, because there may be more than a request may have fields."""
        return json.dumps(self.hidden)

    @property
    def columns(self) -> list[tuple[str, str, str]]:
        """Each column: its rank, its label, and `aria-sort`."""
        direction = "ascending" if self.rank in ("name", "operator", "sensitivity") else "descending"
        return [(rank, str(label), direction if rank == self.rank else "none") for rank, label in RANKS.items()]


def layer_table(
    known: Sequence[AnalysedLayers], edits: PlanEdits, ticked: Collection[str], rank: str = "", words: str = ""
) -> LayerTable:
    """The table of layers: the most sensitive first, unless another `rank` is chosen."""
    rank = rank if rank in RANKS else "sensitivity"
    wanted = words.lower().split()
    chosen = set(ticked)
    every = [LayerRow(one, format_label(form.format), one.name in chosen) for form in known for one in form.layers]
    found = [row for row in every if all(word in f"{row.layer.name} {row.layer.op_type}".lower() for word in wanted)]
    shown_rows = sorted(found, key=lambda row: _rank(row.layer, rank))[:MOST_SHOWN]
    names = {row.layer.name for row in shown_rows}
    hidden = [name for name in ticked if name not in names]
    return LayerTable(shown_rows, hidden, rank, words, len(found), len(known) > 1, edits)


def ticked_layers(data: QueryDict) -> list[str]:
    """The layers that a form has ticked, shown or not."""
    try:
        hidden = _NAMES.validate_json(data.get("layers_not_shown", "") or "[]")
    except InvalidValue:
        hidden = []
    return list(dict.fromkeys([*hidden, *data.getlist("layer")]))


def _rank(layer: Layer, rank: str) -> tuple[Any, ...]:
    """The key of a layer. What is unknown comes last."""
    match rank:
        case "name":
            return (layer.name,)
        case "operator":
            return layer.op_type, layer.name
        case "time":
            return layer.time_share is None, -(layer.time_share or 0.0)
        case "bytes":
            return (-layer.weight_bytes,)
        case _:
            return layer.sqnr_db is None, layer.sqnr_db or 0.0
