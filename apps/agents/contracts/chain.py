"""A chain: the techniques that turn the original into a candidate, in the order in which they are applied."""

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
    """The technique's label: `Static int8 (QDQ)`."""
    variant: str = ""
    """Its parameters in words: `activations uint8, weights int8; per channel`. Empty if there is nothing to say."""
    optional: bool = False
    """Whether the chain skips it if it cannot be applied. Preparations are optional."""
    essential: bool = False
    """Whether it makes a different network, so that the candidate is named after it even if it is not the last link."""
    inputs: dict[str, tuple[Application, ...]] = Field(default_factory=dict)
    """The chains of the other models that it reads, by role. An empty chain means what `given_for` the role says."""

    @property
    def named(self) -> str:
        """Title and variant in one line."""
        return f"{self.title}: {self.variant}" if self.variant else self.title


Chain = tuple[Application, ...]

MODEL = "model"
"""The role of the model that a step changes, measures or packs."""
ORIGINAL = "original"
"""Stands for the session's original where a step's key is expected."""
STUDENT = "student"
"""The role of the model that a member gave a session to be trained, and what stands for it where a step's key is
expected."""
COMPARED = "compared"
"""Stands for the version that a comparison compares with the original, where a step's key is expected. It is also the
name of the only link of that candidate's chain, which is not a technique."""
_NAME_LENGTH = 40
_DIGEST_LENGTH = 10


Applied = tuple[str, Mapping[str, Any]] | tuple[str, Mapping[str, Any], Mapping[str, str]]
"""A technique, its parameters, and the keys of its further inputs by role, if it has any."""


def prefix_key(applied: Iterable[Applied]) -> str:
    """The key of the artifact that these techniques and parameters make: the name of the last one, and a digest.

    The same pairs in the same order have the same key in every session, so an artifact that several candidates share is
    found again.
    """
    links = list(applied)
    digest = hashlib.sha256(json.dumps(links, sort_keys=True).encode()).hexdigest()
    return f"{links[-1][0][:_NAME_LENGTH]}/{digest[:_DIGEST_LENGTH]}"


def applied(technique: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> Applied:
    """A link in the form from which `prefix_key` computes a key."""
    return (technique, parameters, dict(inputs)) if inputs else (technique, parameters)


def key_of(chain: Iterable[Application]) -> str:
    """The key of the artifact that a chain makes. Titles do not count."""
    return prefix_key(applied(link.technique, link.parameters, input_keys(link)) for link in chain)


def input_keys(link: Application) -> dict[str, str]:
    """The keys of a link's further inputs, by role."""
    return {role: key_of(chain) if chain else given_for(role) for role, chain in link.inputs.items()}


def given_for(role: str) -> str:
    """What has a role that no chain makes: the session's student its own, the original any other."""
    return STUDENT if role == STUDENT else ORIGINAL


def from_joined_title(technique: str, parameters: Mapping[str, Any], title: str) -> Application:
    """A link from an older record, in which one `title` held technique and variant with a colon between them."""
    name, _, variant = title.partition(": ")
    return Application(technique=technique, parameters=dict(parameters), title=name, variant=variant)


def title_of(chain: Chain) -> str:
    """The title of what a chain makes: its essential links, and the last one."""
    return in_one_line(link for link in chain if link.essential or link is chain[-1])


def in_one_line(chain: Iterable[Application]) -> str:
    """A chain as one line: `Export to ONNX → Float16: Conv in float`."""
    return " → ".join(link.named for link in chain)


def sources(chain: Chain) -> Iterator[Chain]:
    """The chains that must be applied before the last link of `chain` can be, in a valid order."""
    for length in range(1, len(chain) + 1):
        for made in chain[length - 1].inputs.values():
            yield from (*sources(made), made) if made else ()
        if length < len(chain):
            yield chain[:length]
