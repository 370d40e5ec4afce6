"""Applies a member's edits to a plan, and says what became of each. A pure function of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.agents.contracts.chain import Chain, in_one_line, key_of, title_of
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.plan_edits import (
    Asked,
    ChainName,
    EditKind,
    EditOutcome,
    ParameterChange,
    PlanEdits,
    name_of,
)
from apps.agents.contracts.state import CandidateRecord, Omission, Plan
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.edit_names import fits, misfits, same_chain
from apps.agents.planning.kept_layers import Kept, keeping, layers_in_words, unknown_layers
from apps.agents.planning.summary import summary
from apps.agents.techniques.library_calls import words_of

_PREDICTED = " Predicted "
"""What separates a candidate's reason from its numbers in words."""
_KEPT = EditKind.KEPT_LAYERS.value
_ELSEWHERE = (
    "These candidates start from another form of the model, which has no layers of these names. Keep layers of that "
    "form as well."
)


def edited(plan: Plan, edits: PlanEdits, drafts: Drafts) -> Plan:
    """`plan` as the member wants it: pinned candidates first, then added ones, then the planner's own.

    An edit that cannot be applied changes nothing; `Plan.edits` says why.
    """
    if not edits.count:
        return plan
    table = _Table(drafts, [_Entry(one, name_of(one.steps)) for one in plan.candidates])
    for place, change in enumerate(edits.changed):
        table.change(f"changed.{place}", change)
    for place, name in enumerate(edits.removed):
        table.remove(f"removed.{place}", name)
    for place, name in enumerate(edits.added):
        table.add(f"added.{place}", name)
    for place, name in enumerate(edits.pinned):
        table.pin(f"pinned.{place}", name)
    if edits.kept_layers:
        table.keep(edits.kept_layers)
    candidates = table.numbered()
    return Plan(
        summary=summary(drafts.bases, candidates, drafts.sorting.criteria),
        candidates=candidates,
        omitted=(*plan.omitted, *table.omitted),
        edits=table.outcomes(candidates),
    )


@dataclass
class _Entry:
    """A candidate while it is edited."""

    record: CandidateRecord
    name: ChainName
    """How edits name it."""
    kinds: list[EditKind] = field(default_factory=list)
    place: int = 0
    """Among the pinned ones."""

    @property
    def order(self) -> tuple[int, int]:
        if EditKind.PINNED in self.kinds:
            return 0, self.place
        return (1 if EditKind.ADDED in self.kinds else 2), 0

    def say(self, kind: EditKind, sentence: str) -> None:
        """Adds `sentence` to its reason, before the predicted numbers."""
        self.kinds += [kind] if kind not in self.kinds else []
        why, split, numbers = self.record.reason.partition(_PREDICTED)
        self.record = self.record.model_copy(update={"reason": f"{why} {sentence}{split}{numbers}".strip()})

    def finished(self, number: int) -> CandidateRecord:
        asked = Asked(kinds=tuple(self.kinds), name=self.name) if self.kinds else None
        return self.record.model_copy(update={"key": f"c{number:02d}", "asked": asked})


@dataclass
class _Table:
    """The candidates of a plan while they are edited, and the outcomes so far."""

    drafts: Drafts
    entries: list[_Entry]
    omitted: list[Omission] = field(default_factory=list)
    recorded: list[tuple[EditOutcome, tuple[_Entry, ...]]] = field(default_factory=list)

    # --- one edit ----------------------------------------------------------------------------------------------------

    def change(self, place: str, change: ParameterChange) -> None:
        """Sets parameters of the candidates of that name; one that the plan leaves out is made."""
        found = self._found(change.candidate) or self._made(place, EditKind.CHANGED, change.candidate)
        for entry in found:
            steps = tuple(
                link.model_copy(update={"parameters": {**link.parameters, **change.parameters.get(link.technique, {})}})
                for link in entry.record.steps
            )
            if (why := self._remake(entry, steps)) is not None:
                self._tell(EditKind.CHANGED, place, title_of(entry.record.steps), why)
                continue
            sentence = f"A member set {_settings(change.parameters)}."
            entry.say(EditKind.CHANGED, sentence)
            self._tell(EditKind.CHANGED, place, entry.record.title, sentence, entry)

    def remove(self, place: str, name: ChainName) -> None:
        found = self._found(name)
        sentence = "A member removed it before the start."
        for entry in found:
            self.entries.remove(entry)
            self._omit(entry, sentence)
        subject = found[0].record.title if found else self._title(name)
        reason = sentence if found else "The plan does not contain it anyway, so there is nothing to remove."
        self.recorded.append((_outcome(EditKind.REMOVED, place, subject, reason, applied=True), ()))

    def add(self, place: str, name: ChainName) -> None:
        """A chain that the plan contains already is only marked as asked for."""
        for entry in self._made(place, EditKind.ADDED, name):
            sentence = f"A member added it.{self._beyond_budget()}"
            entry.say(EditKind.ADDED, sentence)
            self._tell(EditKind.ADDED, place, entry.record.title, sentence, entry)

    def pin(self, place: str, name: ChainName) -> None:
        """Moves candidates of that name to the front; one that the plan leaves out is made."""
        found = self._found(name)
        doubt = "" if found else " The plan would leave it out."
        for entry in found or self._made(place, EditKind.PINNED, name):
            if EditKind.PINNED not in entry.kinds:
                entry.place = sum(EditKind.PINNED in one.kinds for one in self.entries)
            first = "first" if entry.place == 0 else f"as number {entry.place + 1}"
            sentence = f"A member pinned it, so it is tried {first}.{doubt}{self._beyond_budget()}"
            entry.say(EditKind.PINNED, sentence)
            self._tell(EditKind.PINNED, place, entry.record.title, sentence, entry)

    def keep(self, layers: Sequence[str]) -> None:
        """Keeps layers in float in every candidate. One that cannot is left out."""
        unknown = unknown_layers(layers, self.drafts.bases)
        if unknown:
            self._tell(EditKind.KEPT_LAYERS, _KEPT, layers_in_words(list(unknown)), " ".join(unknown.values()))
        known = [name for name in layers if name not in unknown]
        if not known:
            return
        kept = [(entry, found) for entry in tuple(self.entries) if (found := self._kept(entry, known)) is not None]
        touched = tuple(entry for entry, found in kept if found.layers)
        stay = f"{'They stay' if len(known) > 1 else 'It stays'} in float, as a member asked."
        self._tell_of_layers(known, stay if touched else "No planned candidate narrows them.", touched, applied=True)
        if elsewhere := tuple(entry for entry, found in kept if found.elsewhere):
            self._tell_of_layers(known, _ELSEWHERE, elsewhere, applied=False)

    def _kept(self, entry: _Entry, layers: Sequence[str]) -> Kept | None:
        """What a candidate keeps in float now; `None` if it cannot keep it."""
        kept = keeping(entry.record.steps, layers, self.drafts)
        if isinstance(kept, Kept) and kept.layers:
            kept = self._remake(entry, kept.steps) or kept
        if isinstance(kept, str):
            self.entries.remove(entry)
            self._omit(entry, kept)
            self._tell(EditKind.KEPT_LAYERS, _KEPT, entry.record.title, f"It is left out: {kept}")
            return None
        if kept.layers:
            entry.say(EditKind.KEPT_LAYERS, f"A member keeps {layers_in_words(kept.layers)} in float.")
        return kept

    def _tell_of_layers(
        self, layers: Sequence[str], reason: str, entries: tuple[_Entry, ...], *, applied: bool
    ) -> None:
        outcome = _outcome(EditKind.KEPT_LAYERS, _KEPT, layers_in_words(layers), reason, applied=applied)
        self.recorded.append((outcome, entries))

    # --- candidates --------------------------------------------------------------------------------------------------

    def _found(self, name: ChainName) -> list[_Entry]:
        """The candidates of that name: by all its parameters or, if there are none, without lists of layers and
        operators, which the analysis refines."""
        specs = self.drafts.specs
        exact = [one for one in self.entries if fits(name, one.name, one.record.steps, specs)]
        return exact or [one for one in self.entries if fits(name, one.name, one.record.steps, specs, loosely=True)]

    def _made(self, place: str, kind: EditKind, name: ChainName) -> list[_Entry]:
        """A candidate made of its name, or the one that the plan has; empty, with an outcome, if it cannot be made."""
        if why := misfits(name, self.drafts.specs) or self.drafts.why_not(name):
            self._tell(kind, place, self._title(name), why)
            return []
        chain = self.drafts.chain(name)
        if (known := next((one for one in self.entries if same_chain(one.record.steps, chain)), None)) is not None:
            return [known]
        try:
            prediction = self.drafts.prediction(chain)
            numbers = self.drafts.in_words(chain, prediction)
        except Exception as error:  # A technique of another package may raise anything.
            self._tell(kind, place, self._title(name), f"Its prediction failed ({words_of(error)}).")
            return []
        reason = f"{in_one_line(link for link in chain if not link.optional)}.{_PREDICTED}{numbers}."
        entry = _Entry(CandidateRecord(key="c00", steps=chain, predicted=prediction, reason=reason), name)
        self.entries.append(entry)
        return [entry]

    def _remake(self, entry: _Entry, steps: Chain) -> str | None:
        """Gives a candidate other parameters, with a new title and prediction; why not, if they are not allowed."""
        try:
            made = tuple(self.drafts.again(link) for link in steps)
            prediction = self.drafts.prediction(made)
        except ValueError as error:
            return f"The parameters cannot be set: {error}."
        except Exception as error:  # A technique of another package may raise anything.
            return f"Its prediction failed ({words_of(error)})."
        why = entry.record.reason.partition(_PREDICTED)[0]
        reason = f"{why}{_PREDICTED}{self.drafts.in_words(made, prediction)}."
        entry.record = entry.record.model_copy(update={"steps": made, "predicted": prediction, "reason": reason})
        return None

    def _beyond_budget(self) -> str:
        allowed = self.drafts.sorting.criteria.budget.candidates
        asked = sum(bool({EditKind.PINNED, EditKind.ADDED} & set(one.kinds)) for one in self.entries)
        return "" if asked < allowed else f" The budget of {allowed} may be spent before it is its turn."

    def _omit(self, entry: _Entry, reason: str) -> None:
        last, title = entry.record.last, entry.record.title
        self.omitted.append(Omission(technique=last.technique, title=title, reason=reason))

    # --- the result --------------------------------------------------------------------------------------------------

    def numbered(self) -> tuple[CandidateRecord, ...]:
        """The candidates in their order with new keys, each chain once."""
        once: dict[str, _Entry] = {}
        for entry in sorted(self.entries, key=lambda one: one.order):
            first = once.setdefault(key_of(entry.record.steps), entry)
            first.kinds += [kind for kind in entry.kinds if kind not in first.kinds]
        return tuple(entry.finished(number) for number, entry in enumerate(once.values(), start=1))

    def outcomes(self, candidates: Sequence[CandidateRecord]) -> tuple[EditOutcome, ...]:
        keys = {key_of(one.steps): one.key for one in candidates}
        found = []
        for outcome, entries in self.recorded:
            touched = {keys[made] for one in entries if (made := key_of(one.record.steps)) in keys}
            in_order = tuple(one.key for one in candidates if one.key in touched)
            found.append(outcome.model_copy(update={"candidates": in_order}))
        return tuple(found)

    def _tell(self, kind: EditKind, place: str, subject: str, reason: str, entry: _Entry | None = None) -> None:
        outcome = _outcome(kind, place, subject, reason, applied=entry is not None)
        self.recorded.append((outcome, (entry,) if entry else ()))

    def _title(self, name: ChainName) -> str:
        labels = [spec.label if (spec := self.drafts.specs.get(one.technique)) else one.technique for one in name]
        return " → ".join(labels)


def _outcome(kind: EditKind, place: str, subject: str, reason: str, *, applied: bool) -> EditOutcome:
    return EditOutcome(kind=kind, field=place, subject=subject, applied=applied, reason=reason)


def _settings(parameters: Mapping[str, Mapping[str, Any]]) -> str:
    """`activation_type to int8 and per_channel to false`."""
    given = [(name, value) for values in parameters.values() for name, value in values.items()]
    return listed([f"{name} to {_shown(value)}" for name, value in given])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
