"""What a layer may become: factors of several forms and ranks, each with what it costs and what it loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.agents.techniques.decomposition.canonical import CANONICAL, canonical_maker
from apps.agents.techniques.decomposition.channel import CHANNEL, channel_maker
from apps.agents.techniques.decomposition.factors import Factors, Maker
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spatial import SPATIAL, fits_spatial, paying_spatial, spatial_maker
from apps.agents.techniques.decomposition.spread import Spread
from apps.agents.techniques.decomposition.tucker import TUCKER, tucker_maker

FORMS = ("spatial", CHANNEL, TUCKER, CANONICAL)
AUTO = "auto"
MOST_RANKS = 12
"""The most ranks of one form that are considered for a layer."""
_SEVERAL_RANKS = {TUCKER: 5, CANONICAL: 2}
"""The same for forms in which a rank takes long to find."""
_LESS = 0.95
"""Factors that need more than this share of the layer's work are not considered."""
HIGHEST_LOSS = 0.5
"""Factors that lose more of the outputs' energy are not considered."""


@dataclass(frozen=True)
class Option:
    """One way to replace a layer, or to leave it as it is."""

    form: str
    rank: int
    macs: int
    parameters: int
    lost: float
    """The share of the energy of the layer's outputs that is lost, 0 to 1."""
    time_ms: float | None = None
    """Of the layer alone, with one example; `None` if it was not timed."""

    @property
    def stays(self) -> bool:
        return self.form == ""

    def named(self, layer: str) -> str:
        """`layer=form:rank`, from which `choice.parsed` finds it again."""
        return f"{layer}={self.form}:{self.rank}"


def as_it_is(layer: DenseLayer) -> Option:
    return Option("", 0, layer.macs, int(layer.weight.size), 0.0)


class Factorizer:
    """Makes the factors of one layer, until it is `closed`; then it gives those that it made."""

    def __init__(self, layer: DenseLayer, spread: Spread, multiple_of: int, seed: int) -> None:
        self.layer, self.spread = layer, spread
        self._multiple_of, self._seed = multiple_of, seed
        self._makers: dict[str, Maker] = {}
        self._made: dict[tuple[str, int], Factors] = {}

    def factors(self, form: str, rank: int) -> Factors:
        """Of Tucker-2, `rank` is that of the outputs. Raises `ValueError` for what the layer cannot become."""
        if form not in (known := list(forms_of(self.layer, FORMS))):
            raise ValueError(f"{self.layer.name} can become {' or '.join(known)}, not {form!r}")
        if not 1 <= rank <= self._most(form):
            raise ValueError(f"the rank of {self.layer.name} as {form} is {rank}, but must be 1 to {self._most(form)}")
        if (form, rank) not in self._made:
            if form not in self._makers:
                self._makers[form] = self._maker(form)
            self._made[form, rank] = self._makers[form](rank)
        return self._made[form, rank]

    def close(self) -> None:
        """Lets go of the covariance and all that was computed from it, which is much larger than the factors."""
        self._makers.clear()
        self.spread = replace(self.spread, covariance=np.zeros((0, 0)))

    def option(self, form: str, rank: int) -> Option:
        made = self.factors(form, rank)
        return Option(form, rank, made.macs(self.layer), made.parameters, made.lost)

    def options(self, forms: Sequence[str]) -> list[Option]:
        """Those of all ranks that need clearly less work and do not lose most of the energy."""
        found = (self.option(form, rank) for form in forms_of(self.layer, forms) for rank in self._ranks(form))
        return [one for one in found if one.macs < _LESS * self.layer.macs and one.lost <= HIGHEST_LOSS]

    def _maker(self, form: str) -> Maker:
        if form in SPATIAL:
            return spatial_maker(self.layer, self.spread, SPATIAL.index(form))
        if form == TUCKER:
            return tucker_maker(self.layer, self.spread, self._multiple_of)
        if form == CANONICAL:
            return canonical_maker(self.layer, self.spread, self._seed)
        return channel_maker(self.layer, self.spread)

    def _ranks(self, form: str) -> list[int]:
        """Multiples of `multiple_of`, or all if the layer is narrower; evenly spaced if there are many."""
        most = self._most(form)
        step = self._multiple_of if most > self._multiple_of else 1
        every = range(step, most, step)
        count = _SEVERAL_RANKS.get(form, MOST_RANKS)
        return list(every[:: -(-len(every) // count)]) if every else []

    def _most(self, form: str) -> int:
        """The rank from which on the factors are at least as much work as the layer."""
        layer = self.layer
        if form in SPATIAL:
            return paying_spatial(layer, SPATIAL.index(form))
        if form == CANONICAL:
            return 2 * min(layer.outputs, layer.inputs)
        if form == TUCKER:
            return layer.outputs
        return min(layer.outputs, int(layer.weight.size) // (int(layer.matrix.shape[1]) + layer.outputs) + 1)


def forms_of(layer: DenseLayer, forms: Sequence[str]) -> Iterator[str]:
    """The forms that suit a layer, of those wanted: a matrix product and a 1×1 convolution have only one."""
    pointwise = all(length == 1 for length in layer.kernel)
    for form in forms:
        if form == FORMS[0] and fits_spatial(layer):
            yield from SPATIAL
        elif form == CHANNEL or (form in (TUCKER, CANONICAL) and not pointwise):
            yield form


def timed(option: Option, time_ms: float) -> Option:
    return replace(option, time_ms=time_ms)
