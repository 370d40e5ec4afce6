"""A chain: techniques applied one after the other, from the original to what a candidate is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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

    @property
    def named(self) -> str:
        """Title and variant in one line."""
        return f"{self.title}: {self.variant}" if self.variant else self.title


Chain = tuple[Application, ...]

_NAME_LENGTH = 40
_DIGEST_LENGTH = 10


def prefix_key(applied: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The key of what these techniques with their parameters make of the original: the last one's name and a digest.

    The same ones in the same order have the same key in every session, so what several candidates share is found again.
    """
    links = list(applied)
    digest = hashlib.sha256(json.dumps(links, sort_keys=True).encode()).hexdigest()
    last, _ = links[-1]
    return f"{last[:_NAME_LENGTH]}/{digest[:_DIGEST_LENGTH]}"


def key_of(chain: Iterable[Application]) -> str:
    """The key of what a chain makes; titles do not count."""
    return prefix_key((link.technique, link.parameters) for link in chain)


def from_joined_title(technique: str, parameters: Mapping[str, Any], title: str) -> Application:
    """A link as it was written when a candidate had one title for technique and variant, with a colon between."""
    name, _, variant = title.partition(": ")
    return Application(technique=technique, parameters=dict(parameters), title=name, variant=variant)


def in_one_line(chain: Iterable[Application]) -> str:
    """A chain in one line: `Export to ONNX → Float16: Conv in float`."""
    return " → ".join(link.named for link in chain)


def prefixes(chain: Chain) -> Iterator[Chain]:
    """What a chain makes on its way, the shortest first; the whole chain is not among them."""
    return (chain[:length] for length in range(1, len(chain)))
