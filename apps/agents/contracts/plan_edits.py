"""What a member changes about a session's plan before the start, and what became of each change.

The edits are given with the request and frozen with the session. A candidate is named by its chain: its techniques with
their parameters. That name means the same in the preview, in the plan and in every later session, which a key such as
`c01` does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.values import Value

MOST_LINKS = 8
MOST_CHAINS = 200
"""As many as a budget can have candidates."""
MOST_LAYERS = 20_000


class NamedLink(Value):
    """A technique of a named candidate. Parameters that are not named may have any value; in a chain that is added by
    hand, they have their defaults."""

    technique: str = Field(max_length=100)
    parameters: dict[str, Any] = Field(default_factory=dict)


ChainName = Annotated[tuple[NamedLink, ...], Field(min_length=1, max_length=MOST_LINKS)]
"""A candidate by its techniques in order. Exports at the front and preparations may be left out."""


class ParameterChange(Value):
    """Parameters of a planned candidate, set by hand."""

    candidate: ChainName
    """As the plan names it without the change."""
    parameters: dict[str, dict[str, Any]] = Field(min_length=1)
    """By technique of its chain: the new values by the parameter's name. Others stay."""


class EditKind(StrEnum):
    REMOVED = "removed"
    PINNED = "pinned"
    ADDED = "added"
    CHANGED = "changed"
    KEPT_LAYERS = "kept_layers"


class PlanEdits(Value):
    """A member's edits of a plan. Empty edits leave a plan as it is."""

    removed: tuple[ChainName, ...] = Field((), max_length=MOST_CHAINS)
    """Candidates that are not tried."""
    pinned: tuple[ChainName, ...] = Field((), max_length=MOST_CHAINS)
    """Candidates that are tried first, in this order, whatever gain is predicted. They count against the budget."""
    added: tuple[ChainName, ...] = Field((), max_length=MOST_CHAINS)
    """Chains to try as well, after those that are pinned, whatever gain is predicted."""
    changed: tuple[ParameterChange, ...] = Field((), max_length=MOST_CHAINS)
    kept_layers: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field((), max_length=MOST_LAYERS)
    """Names of layers, as an analysis lists them, that every quantization leaves in float."""

    @property
    def count(self) -> int:
        """How many candidates are edited, and 1 more if layers stay in float."""
        lists = (self.removed, self.pinned, self.added, self.changed)
        return sum(len(one) for one in lists) + bool(self.kept_layers)

    @property
    def chains(self) -> Iterator[tuple[str, ChainName]]:
        """Every named chain with its field: `added.0`, `changed.1.candidate`."""
        for kind in (EditKind.REMOVED, EditKind.PINNED, EditKind.ADDED):
            yield from ((f"{kind}.{place}", name) for place, name in enumerate(getattr(self, kind)))
        yield from ((f"changed.{place}.candidate", one.candidate) for place, one in enumerate(self.changed))


NO_EDITS = PlanEdits()


class Asked(Value):
    """What a member asked for about a candidate."""

    kinds: tuple[EditKind, ...]
    name: ChainName
    """How edits name the candidate: its chain before they changed it."""


class EditOutcome(Value):
    """What became of one edit in a plan."""

    kind: EditKind
    field: str
    """Where the edit is in `PlanEdits`: `added.0`."""
    subject: str
    """The candidate's title, or the layers' names."""
    applied: bool
    candidates: tuple[str, ...] = ()
    """The keys of the candidates that it changed."""
    reason: str
    """What it did, or why it could not be applied, in sentences."""


def edits_in_words(edits: PlanEdits) -> str:
    """How much was edited: `1 removed, 2 pinned, 12 layers in float`."""
    lists = {kind: len(getattr(edits, kind)) for kind in EditKind if kind is not EditKind.KEPT_LAYERS}
    parts = [f"{count} {kind}" for kind, count in lists.items() if count]
    layers = len(edits.kept_layers)
    return ", ".join([*parts, *([f"{layers} layer{'s' * (layers > 1)} in float"] if layers else [])])


def name_of(chain: Chain) -> tuple[NamedLink, ...]:
    """The name of what `chain` makes: its links with all parameters, without preparations."""
    links = (link for link in chain if not link.optional)
    return tuple(NamedLink(technique=link.technique, parameters=plain(link.parameters)) for link in links)


def plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON has them, so that names compare alike before and after storage."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
