"""The kinds of candidates whose measurements say something about each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from apps.agents.contracts.chain import Chain
from apps.agents.techniques.spec import TechniqueSpec
from apps.agents.techniques.variants import KEPT_NODES

_DIGEST_LENGTH = 10
_EXACT = "#"


def kinds_of(spec: TechniqueSpec, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of a candidate that `spec` makes with complete `parameters`, from the broadest to the narrowest.

    They are the technique, the technique with these number types, and the technique with exactly these parameters. A
    choice of single nodes belongs to one model, so it has no kind of its own.
    """
    types = spec.knowledge.number_types(parameters)
    broad = (spec.name,) if types is None else (spec.name, f"{spec.name} {'/'.join(types)}")
    return broad if parameters.get(KEPT_NODES) else (*broad, f"{spec.name} {_EXACT}{_digest(parameters)}")


def is_exact(kind: str) -> bool:
    """Whether it is a kind of candidates with exactly the same parameters."""
    return f" {_EXACT}" in kind


def kinds_of_chain(chain: Chain, specs: Mapping[str, TechniqueSpec]) -> tuple[str, ...]:
    """The kinds of a chain: those of its last link, after the techniques that made another network.

    A technique that is not installed any more has one kind, its name. What prepares or exports the model does not
    count.
    """
    last = chain[-1]
    before = "".join(f"{link.technique} > " for link in chain[:-1] if link.essential)
    spec = specs.get(last.technique)
    own = (last.technique,) if spec is None else kinds_of(spec, {**spec.resolve({}), **last.parameters})
    return tuple(f"{before}{kind}" for kind in own)


def families_of(chain: Chain, specs: Mapping[str, TechniqueSpec]) -> str:
    """The families of the techniques that made a candidate, in their order: `pruning + quantization`."""
    counted = (link.technique for link in chain if link.essential or link is chain[-1])
    names = (specs[name].family.value if name in specs else name for name in counted)
    return " + ".join(dict.fromkeys(names))


def _digest(parameters: Mapping[str, Any]) -> str:
    text = json.dumps(dict(parameters), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
