"""What is wrong with a member's edits of a plan, before a session starts with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from apps.agents.contracts.plan_edits import EditKind, NamedLink, PlanEdits
from apps.agents.contracts.values import Value
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.kept_layers import missing_layers
from apps.agents.techniques.catalogue import TechniqueSpec

_FEW = 5


class WrongEdit(Value):
    """One thing that is wrong with an edit."""

    field: str
    """Where it is: `added.0.1.parameters.bits`."""
    code: str
    """Stable: `technique_unknown`."""
    message: str
    """What is wrong and what would be right, without a full stop."""


def wrong_edits(edits: PlanEdits, drafts: Drafts, layers: Sequence[str] | None = None) -> list[WrongEdit]:
    """Everything that is wrong with the edits; empty if a session may start with them.

    `layers` are the names of the model's layers from an earlier analysis; `None` if there was none, so that names
    cannot be checked before the session's own.
    """
    found = [*_wrong_links(edits, drafts.specs), *_wrong_changes(edits, drafts.specs)]
    if not found:
        found += _not_applicable(edits, drafts)
    return [*found, *_twice(edits), *_contradictions(edits), *_wrong_layers(edits, layers)]


def _wrong_links(edits: PlanEdits, specs: Mapping[str, TechniqueSpec]) -> Iterator[WrongEdit]:
    for field, name in edits.chains:
        for place, link in enumerate(name):
            if (spec := specs.get(link.technique)) is None:
                yield _unknown_technique(f"{field}.{place}.technique", link.technique, specs)
            else:
                yield from _wrong_parameters(f"{field}.{place}.parameters", spec, link.parameters)


def _unknown_technique(field: str, name: str, specs: Mapping[str, TechniqueSpec]) -> WrongEdit:
    near = get_close_matches(name, list(specs), n=_FEW, cutoff=0.3)
    right = f"choose one of the catalogue, such as {' or '.join(near or list(specs)[:_FEW])}"
    return WrongEdit(field=field, code="technique_unknown", message=f"there is no technique {name!r}; {right}")


def _wrong_parameters(field: str, spec: TechniqueSpec, given: Mapping[str, Any]) -> Iterator[WrongEdit]:
    for name, value in given.items():
        try:
            spec.resolve({name: value})
        except (TypeError, ValueError) as error:
            known = any(one.name == name for one in spec.parameters)
            code = "parameter_invalid" if known else "parameter_unknown"
            yield WrongEdit(field=f"{field}.{name}", code=code, message=str(error))


def _wrong_changes(edits: PlanEdits, specs: Mapping[str, TechniqueSpec]) -> Iterator[WrongEdit]:
    for place, change in enumerate(edits.changed):
        links = [link.technique for link in change.candidate]
        for technique, values in change.parameters.items():
            field = f"changed.{place}.parameters.{technique}"
            if technique not in links:
                message = f"{technique!r} is not in the candidate's chain; its techniques are {', '.join(links)}"
                yield WrongEdit(field=field, code="not_in_chain", message=message)
            elif spec := specs.get(technique):
                yield from _wrong_parameters(field, spec, values)


def _not_applicable(edits: PlanEdits, drafts: Drafts) -> Iterator[WrongEdit]:
    """Chains that the criteria forbid, that are in a wrong order, or that cannot be applied to the model. What is
    removed may be any."""
    for field, name in edits.chains:
        if field.startswith(EditKind.REMOVED):
            continue
        forbidden = [link.technique for link in name if not drafts.sorting.criteria.permits(link.technique)]
        if forbidden:
            message = f"the criteria do not allow {' and '.join(forbidden)}; choose others, or other criteria"
            yield WrongEdit(field=field, code="technique_not_allowed", message=message)
        elif why := drafts.out_of_order(name):
            yield WrongEdit(field=field, code="order", message=f"{why.removesuffix('.')}; choose another order")
        elif why := drafts.why_not(name):
            message = f"{why.removesuffix('.')}; choose techniques that this session can use"
            yield WrongEdit(field=field, code="technique_not_applicable", message=message)


def _twice(edits: PlanEdits) -> Iterator[WrongEdit]:
    for kind in (EditKind.REMOVED, EditKind.PINNED, EditKind.ADDED):
        names = getattr(edits, kind)
        for place in _repeated(names):
            first = names.index(names[place])
            message = f"it is the same candidate as {kind}.{first}; name each once"
            yield WrongEdit(field=f"{kind}.{place}", code="twice", message=message)
    changes = [change.candidate for change in edits.changed]
    for place in _repeated(changes):
        message = f"changed.{changes.index(changes[place])} changes the same candidate; set all its parameters there"
        yield WrongEdit(field=f"changed.{place}", code="twice", message=message)
    for place in _repeated(edits.kept_layers):
        message = f"{edits.kept_layers[place]!r} is named before; name each layer once"
        yield WrongEdit(field=f"kept_layers.{place}", code="twice", message=message)


def _repeated(values: Iterable[str | tuple[NamedLink, ...]]) -> Iterator[int]:
    """The places of values that occur before."""
    seen = set()
    for place, value in enumerate(values):
        form = value if isinstance(value, str) else tuple(link.model_dump_json() for link in value)
        if form in seen:
            yield place
        seen.add(form)


def _contradictions(edits: PlanEdits) -> Iterator[WrongEdit]:
    changed = tuple(change.candidate for change in edits.changed)
    kept = {EditKind.PINNED: edits.pinned, EditKind.ADDED: edits.added, EditKind.CHANGED: changed}
    for place, name in enumerate(edits.removed):
        for kind, names in kept.items():
            if name in names:
                message = f"the same candidate is {kind} in {kind}.{names.index(name)}; leave out one of the two"
                yield WrongEdit(field=f"removed.{place}", code="contradiction", message=message)


def _wrong_layers(edits: PlanEdits, layers: Sequence[str] | None) -> Iterator[WrongEdit]:
    if layers is None:
        return
    for name, why in missing_layers(edits.kept_layers, layers):
        field = f"kept_layers.{edits.kept_layers.index(name)}"
        yield WrongEdit(field=field, code="layer_unknown", message=why.removesuffix("."))
