"""Layers that a member wants to stay in float, in the chains of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from apps.agents.contracts.chain import Application, Chain
from apps.agents.contracts.phrasing import listed
from apps.agents.planning.bases import Bases
from apps.agents.planning.drafts import Drafts
from apps.agents.techniques.catalogue import Family, TechniqueSpec
from apps.agents.techniques.variants import KEPT_NODES

_NAMED = 3
"""More layers are counted instead of named."""
_SEARCHED = 5


@dataclass(frozen=True)
class Kept:
    """A chain that leaves `layers` in float; none if it narrows none of them anyway."""

    steps: Chain
    layers: tuple[str, ...]
    elsewhere: bool = False
    """Whether it narrows a form of the model that has no layer of these names."""


def keeping(chain: Chain, layers: Sequence[str], drafts: Drafts) -> Kept | str:
    """`chain` with those of `layers` in float that its form of the model has, or why it cannot keep them."""
    steps: Chain = ()
    found: tuple[str, ...] = ()
    elsewhere = False
    for link in chain:
        spec = drafts.specs[link.technique]
        narrows = spec.family is Family.QUANTIZATION
        own = _layers_of(spec, layers, drafts.bases) if narrows else ()
        if own and not can_keep(spec):
            return f"{spec.label} cannot leave single layers in float, and a member keeps {layers_in_words(own)} so."
        steps = (*steps, _with(link, own) if own else link)
        found = (*found, *own)
        elsewhere = elsewhere or (narrows and not own)
    return Kept(steps, tuple(dict.fromkeys(found)), elsewhere)


def can_keep(spec: TechniqueSpec) -> bool:
    """Whether a technique can leave single layers in float."""
    return any(parameter.name == KEPT_NODES for parameter in spec.parameters)


def _layers_of(spec: TechniqueSpec, layers: Sequence[str], bases: Bases) -> tuple[str, ...]:
    """Those of `layers` that the technique's form of the model has; all before that was analysed."""
    basis = bases.of(spec)
    if basis is None or basis.analysis is None:
        return tuple(layers)
    names = {layer.name for layer in basis.analysis.layers}
    return tuple(name for name in layers if name in names)


def _with(link: Application, layers: Sequence[str]) -> Application:
    kept = [str(name) for name in link.parameters.get(KEPT_NODES, ())]
    both = [*kept, *(name for name in layers if name not in kept)]
    return link.model_copy(update={"parameters": {**link.parameters, KEPT_NODES: both}})


def unknown_layers(layers: Sequence[str], bases: Bases) -> dict[str, str]:
    """Layers that no analysed form of the model has, each with a sentence; empty before the analysis."""
    analyses = [basis.analysis for basis in bases.forms if basis.analysis is not None]
    names = [layer.name for analysis in analyses for layer in analysis.layers]
    return dict(missing_layers(layers, names)) if analyses else {}


def missing_layers(layers: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Those of `layers` that are not among `names`, each with a sentence. The search for similar names takes long, so
    only the first few sentences contain some."""
    known = set(names)
    missing = [name for name in layers if name not in known]
    for place, name in enumerate(missing):
        yield name, no_layer(name, names if place < _SEARCHED else ())


def no_layer(name: str, names: Sequence[str]) -> str:
    """A sentence about a name that none of the layers `names` has, with those that are similar."""
    near = get_close_matches(name, [*dict.fromkeys(names)], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "the analysis lists the model's layers."
    return f"The model has no layer {name!r}; {hint}"


def layers_in_words(names: Sequence[str]) -> str:
    return listed(list(names)) if len(names) <= _NAMED else f"{len(names)} layers"
