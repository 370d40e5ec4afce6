"""A chain: techniques applied one after the other, from the original to what a candidate is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from apps.agents.contracts.values import Value


class Application(Value):
    """One link of a chain: a technique with all of its parameters."""

    technique: str
    parameters: dict[str, Any]
    title: str
    """The technique as people call it: `Static int8 (QDQ)`."""
    variant: str = ""
    """What its parameters make of it: `activations uint8, weights int8; per channel`; empty where they say nothing."""
    optional: bool = False
    """Whether the chain goes on without it where it cannot be applied, as it does without a preparation."""
    inputs: dict[str, tuple[Application, ...]] = Field(default_factory=dict)
    """What it reads beside the model that it changes, by role: the chain that makes it; empty is the original."""

    @property
    def named(self) -> str:
        """Title and variant in one line."""
        return f"{self.title}: {self.variant}" if self.variant else self.title


Chain = tuple[Application, ...]

MODEL = "model"
"""The role of the model that a step changes, measures or packs."""
ORIGINAL = "original"
"""In place of a step's key: the session's original."""
_NAME_LENGTH = 40
_DIGEST_LENGTH = 10


Applied = tuple[str, Mapping[str, Any]] | tuple[str, Mapping[str, Any], Mapping[str, str]]
"""A technique, its parameters, and the keys of its further inputs by role where it has any."""


def prefix_key(applied: Iterable[Applied]) -> str:
    """The key of what these techniques with their parameters make of the original: the last one's name and a digest.

    The same ones in the same order have the same key in every session, so what several candidates share is found again.
    """
    links = list(applied)
    digest = hashlib.sha256(json.dumps(links, sort_keys=True).encode()).hexdigest()
    return f"{links[-1][0][:_NAME_LENGTH]}/{digest[:_DIGEST_LENGTH]}"


def applied(technique: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> Applied:
    """A link as a key counts it."""
    return (technique, parameters, dict(inputs)) if inputs else (technique, parameters)


def key_of(chain: Iterable[Application]) -> str:
    """The key of what a chain makes; titles do not count."""
    return prefix_key(applied(link.technique, link.parameters, _input_keys(link)) for link in chain)


def _input_keys(link: Application) -> dict[str, str]:
    return {role: key_of(chain) if chain else ORIGINAL for role, chain in link.inputs.items()}


def from_joined_title(technique: str, parameters: Mapping[str, Any], title: str) -> Application:
    """A link as it was written when a candidate had one title for technique and variant, with a colon between."""
    name, _, variant = title.partition(": ")
    return Application(technique=technique, parameters=dict(parameters), title=name, variant=variant)


def in_one_line(chain: Iterable[Application]) -> str:
    """A chain in one line: `Export to ONNX → Float16: Conv in float`."""
    return " → ".join(link.named for link in chain)


def sources(chain: Chain) -> Iterator[Chain]:
    """What has to be made before the last link of `chain` can be applied, in an order in which it can be made."""
    for length in range(1, len(chain) + 1):
        for made in chain[length - 1].inputs.values():
            yield from (*sources(made), made) if made else ()
        if length < len(chain):
            yield chain[:length]
