"""A chain: the techniques that turn the original into a candidate, in the order in which they are applied."""

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
    """The technique's label: `Static int8 (QDQ)`."""
    variant: str = ""
    """Its parameters in words: `activations uint8, weights int8; per channel`. Empty if there is nothing to say."""
    optional: bool = False
    """Whether the chain skips it if it cannot be applied. Preparations are optional."""

    @property
    def named(self) -> str:
        """Title and variant in one line."""
        return f"{self.title}: {self.variant}" if self.variant else self.title


Chain = tuple[Application, ...]

_NAME_LENGTH = 40
_DIGEST_LENGTH = 10


def prefix_key(applied: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The key of the artifact that these techniques and parameters make: the name of the last one, and a digest.

    The same pairs in the same order have the same key in every session, so an artifact that several candidates share is
    found again.
    """
    links = list(applied)
    digest = hashlib.sha256(json.dumps(links, sort_keys=True).encode()).hexdigest()
    last, _ = links[-1]
    return f"{last[:_NAME_LENGTH]}/{digest[:_DIGEST_LENGTH]}"


def key_of(chain: Iterable[Application]) -> str:
    """The key of the artifact that a chain makes. Titles do not count."""
    return prefix_key((link.technique, link.parameters) for link in chain)


def from_joined_title(technique: str, parameters: Mapping[str, Any], title: str) -> Application:
    """A link from an older record, in which one `title` held technique and variant with a colon between them."""
    name, _, variant = title.partition(": ")
    return Application(technique=technique, parameters=dict(parameters), title=name, variant=variant)


def in_one_line(chain: Iterable[Application]) -> str:
    """A chain as one line: `Export to ONNX → Float16: Conv in float`."""
    return " → ".join(link.named for link in chain)


def prefixes(chain: Chain) -> Iterator[Chain]:
    """The proper prefixes of a chain, the shortest first. The whole chain is not one of them."""
    return (chain[:length] for length in range(1, len(chain)))
