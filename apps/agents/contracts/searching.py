"""A search for an architecture in steps: one trains the supernet, others try its sub-networks, and the last trains what
was found. The values that they exchange, and the keys by which they find each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from apps.agents.contracts.values import Value

SUPERNET = "supernet"
"""The role of the supernet's file among the inputs of a step."""
PLACE = "place"
"""The parameter that says which of the best networks is wanted. It changes nothing about the search itself."""
_DIGEST_LENGTH = 20


class TrialCard(Value):
    """The score card of one trial of a search."""

    number: int = Field(ge=1)
    """In the order in which they were proposed."""
    values: tuple[int, ...]
    """The sub-network: the value of each dimension of its space."""
    network: tuple[str, ...] = ()
    """The same in words that a recipe takes: `width:stem=16`."""
    loss: float
    """On held-out training examples, with the supernet's weights."""
    accuracy: float | None = None
    """There, in per cent; `None` if the task has none."""
    latency_ms: float
    """By the latency table."""
    parameters: int
    macs: int
    alone_loss: float | None = None
    """After a short training alone, which only finalists get."""
    alone_accuracy: float | None = None


class Portion(Value):
    """What one step of a search makes: a share of a generation of trials, or of the finalists' short trainings.

    Every step of a generation draws all of its proposals, which follow from the trials before it and the seed alone,
    and scores every `of`-th of them. So it does not matter how many workers there are.
    """

    finalists: bool = False
    known: int = Field(default=0, ge=0)
    """How many trials were made before."""
    share: int = Field(default=0, ge=0)
    of: int = Field(default=1, ge=1)
    generations: int = Field(default=1, ge=1)
    """How many generations it makes one after the other, if it makes them alone."""
    left_s: float | None = None
    """How long it may take before it begins another trial; `None` if nothing limits it."""


class PortionMade(Value):
    """The result of such a step."""

    trials: tuple[TrialCard, ...] = ()
    proposed: int = 0
    """How many sub-networks were proposed in its last generation, by all of its steps together."""
    seconds: float = 0.0
    late: bool = False
    """Whether its time was over before all were scored."""


class SupernetMade(Value):
    """The result of the step that trains the supernet."""

    sub_networks: int
    limit_ms: float
    original_ms: float
    evidence: dict[str, Any] = Field(default_factory=dict)


class SoFar(Value):
    """What the steps before have found, for the one that goes on from it."""

    trials: tuple[TrialCard, ...] = ()
    spent_s: float = 0.0
    """How long trials and finalists took, with steps that ran side by side counted once."""


class Searched(Value):
    """The supernet's file, and what was found with it."""

    file: Path
    so_far: SoFar = SoFar()


def search_key(technique: str, parameters: Mapping[str, Any], parents: Mapping[str, str]) -> str:
    """The key of the step that trains the supernet for a link with these parameters and inputs.

    Links that want another of the best networks share it.
    """
    own = {name: value for name, value in parameters.items() if name != PLACE}
    models = {role: key for role, key in parents.items() if role != SUPERNET}
    identity = json.dumps([technique, own, models], sort_keys=True)
    return f"search/{hashlib.sha256(identity.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def portion_key(search: str, portion: Portion) -> str:
    what = "finalists" if portion.finalists else f"trials-{portion.known + 1}"
    return f"{search}/{what}/{portion.share + 1}"


def search_of_portion(key: str) -> str:
    """The key of the search to which the step called `key` belongs."""
    return "/".join(key.split("/")[:2])


def spent_s(portions: Iterable[tuple[Portion, PortionMade]]) -> float:
    """How long these took. Steps of one generation run side by side, so the longest of them counts."""
    longest: dict[tuple[bool, int], float] = defaultdict(float)
    for portion, made in portions:
        which = portion.finalists, portion.known
        longest[which] = max(longest[which], made.seconds)
    return sum(longest.values())
