"""How close the candidate's outputs are to the original's, for each output, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputsNotFinite
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import Fidelity
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.text import ATTENTION_MASK

Array = NDArray[np.generic]
Floats = NDArray[np.float64]

SQNR_CEILING_DB = 200.0
"""Value for equal outputs, whose ratio is infinite: JSON cannot express infinity, and float32 ends near 150 dB."""


BLOCK_ELEMENTS = 250_000
"""Elements processed together in double precision. They fit in the processor's cache; logits are long."""


def _energy(a: Floats, b: Floats) -> Floats:
    """The dot product of each row."""
    return np.asarray(np.einsum("ij,ij->i", a, b), dtype=np.float64)


def energies(exact: Array, changed: Array) -> tuple[float, float]:
    """Energies of the signal and of its change, over elements that are finite in `exact`. If the shapes differ,
    everything counts as change."""
    if exact.shape != changed.shape:
        return 0.0, float("inf")
    finite = np.isfinite(exact)
    signal = exact[finite].astype(np.float64)
    change = changed[finite].astype(np.float64) - signal
    return float(np.square(signal).sum()), float(np.square(change).sum())


def finite_parts(exact: Array, changed: Array) -> tuple[Array, Array] | None:
    """Both arrays with 0 wherever both hold the same infinity or NaN, which is by design. `None` if only one array
    does, or if no element is finite.

    Both arrays must have the same shape.
    """
    finite = finite_places(exact)
    if finite.all() and finite_places(changed).all():
        return exact, changed
    hidden = ~finite
    if not finite.any() or not np.array_equal(exact[hidden], changed[hidden], equal_nan=True):
        return None
    if not finite_places(changed[finite]).all():
        return None
    zero = np.zeros((), exact.dtype)
    return np.where(finite, exact, zero), np.where(finite, changed, zero.astype(changed.dtype))


def finite_places(array: Array) -> NDArray[np.bool_]:
    """Where `array` is neither infinite nor NaN."""
    return np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, bool)


class OutputFidelity:
    """Sums over the batches of one output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signal = self.noise = self.absolute = self.cosines = 0.0
        self._other = self._product = 0.0
        self._numbers = True
        self.elements = self.rows = 0
        self.max_abs_error = 0.0
        self.identical = True

    def add(self, original: Array, candidate: Array) -> None:
        """Add two arrays of the same shape. Cosines are taken of the rows along the first axis."""
        a, b = original.reshape(len(original), -1), candidate.reshape(len(candidate), -1)
        step = max(1, BLOCK_ELEMENTS // max(1, a.shape[1]))
        for start in range(0, len(a), step):
            self._add_block(*(array[start : start + step].astype(np.float64) for array in (a, b)))
        self.elements += a.size
        self.rows += len(a)

    def _add_block(self, a: Floats, b: Floats) -> None:
        error = a - b
        same = ~error.any(axis=1)
        signal, other, noise = _energy(a, a), _energy(b, b), _energy(error, error)
        lengths = np.sqrt(signal) * np.sqrt(other)
        self.signal += float(signal.sum())
        self.noise += float(noise.sum())
        product = _energy(a, b)
        self._other += float(other.sum())
        self._product += float(product.sum())
        self._numbers = self._numbers and a.shape[1] == 1
        self.cosines += float(np.where(same, 1.0, product / np.where(lengths > 0, lengths, 1.0)).sum())
        np.abs(error, out=error)
        self.absolute += float(error.sum())
        self.max_abs_error = max(self.max_abs_error, float(error.max(initial=0.0)))
        self.identical = self.identical and bool(same.all())

    @property
    def cosine(self) -> float:
        """The mean over rows. If a row is a single number (its cosine is a sign), the cosine of the whole column."""
        if not self._numbers:
            return self.cosines / self.rows
        lengths = math.sqrt(self.signal) * math.sqrt(self._other)
        return 1.0 if self.noise == 0 else self._product / lengths if lengths > 0 else 0.0

    @property
    def sqnr_db(self) -> float:
        """Signal-to-quantization-noise ratio: ten times the decimal logarithm of signal energy over error energy."""
        if self.noise == 0:
            return SQNR_CEILING_DB
        if self.signal == 0:
            return -SQNR_CEILING_DB
        return max(-SQNR_CEILING_DB, min(SQNR_CEILING_DB, 10 * math.log10(self.signal / self.noise)))


class FidelityMeter:
    """Compares every output of both models. It reports the worst output."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self._outputs = [OutputFidelity(name) for name in outputs]
        self.identical = True

    def add(self, original: Sequence[Array | None], candidate: Sequence[Array | None]) -> None:
        """Add one batch. Outputs that are `None` in it are skipped.

        Values that are not finite by design, at the same places in both models, are left out: -inf for masked classes.
        Raises `OutputsDiffer` for other shapes and `OutputsNotFinite` for NaN or infinity.
        """
        if len(original) != len(candidate):
            raise OutputsDiffer(reason=f"it gives {len(candidate)} outputs, and the original gives {len(original)}")
        for meter, a, b in zip(self._outputs, original, candidate, strict=True):
            if a is None or b is None:
                continue
            if a.shape != b.shape:
                raise OutputsDiffer(reason=f"{meter.name!r} has the shape {list(b.shape)} instead of {list(a.shape)}")
            if a.dtype.kind not in "fiub":
                self.identical = self.identical and bool(np.array_equal(a, b))
                continue
            finite = finite_parts(a, b)
            if finite is None:
                which = "candidate" if finite_places(a).any() and not finite_places(b).all() else "original"
                raise OutputsNotFinite(which=which, output=meter.name)
            meter.add(*finite)
            self.identical = self.identical and meter.identical

    def add_whole(self, place: int, original: Array, candidate: Array) -> bool:
        """Add one output of a single example as a whole. Return whether it has the original's shape.

        Raises `OutputsNotFinite` for NaN or infinity.
        """
        if original.shape != candidate.shape:
            self.identical = False
            return False
        alone: list[Array | None] = [None] * len(self._outputs)
        rows = [[*alone[:place], array.reshape(1, -1), *alone[place + 1 :]] for array in (original, candidate)]
        self.add(*rows)
        return True

    def report(self, agreement: Estimate | None) -> Fidelity:
        measured = [output for output in self._outputs if output.elements]
        if not measured:  # All outputs are text, which can only be equal or not.
            worst = 1.0 if self.identical else 0.0
            return Fidelity(
                sqnr_db=SQNR_CEILING_DB if self.identical else -SQNR_CEILING_DB,
                cosine=worst,
                max_abs_error=0.0,
                mean_abs_error=0.0,
                agreement=agreement,
            )
        return Fidelity(
            sqnr_db=min(output.sqnr_db for output in measured),
            cosine=min(output.cosine for output in measured),
            max_abs_error=max(output.max_abs_error for output in measured),
            mean_abs_error=max(output.absolute / output.elements for output in measured),
            agreement=agreement,
        )


def may_differ(output: TensorSpec, one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes differ only in axes whose length the file leaves open."""
    if len(one) != len(other):
        return False
    if len(output.shape) != len(one):
        return not output.shape
    pairs = zip(output.shape, one, other, strict=True)
    return all(a == b or not isinstance(axis, int) for axis, a, b in pairs)


def visible(
    arrays: Sequence[Array | None], outputs: Sequence[TensorSpec], feeds: Mapping[str, Array]
) -> list[Array | None]:
    """The outputs without the positions that the attention mask hides; the model's values there are meaningless.

    An output with a token axis is returned with one row per token that is not padding. The others are unchanged.
    """
    mask = feeds.get(ATTENTION_MASK)
    if mask is None:
        return list(arrays)
    shown = slice(None) if mask.all() else mask.reshape(-1).astype(bool)
    return [
        array.reshape(-1, *array.shape[2:])[shown] if array is not None and _has_tokens(array, spec, mask) else array
        for array, spec in zip(arrays, outputs, strict=True)
    ]


def _has_tokens(array: Array, output: TensorSpec, mask: Array) -> bool:
    """Whether the output's second axis is the tokens. A number of classes can equal their number by chance."""
    if array.shape[:2] != mask.shape:
        return False
    return array.ndim > 2 or (len(output.shape) == 2 and not isinstance(output.shape[1], int))
