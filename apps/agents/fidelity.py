"""How close the candidate's outputs are to the original's, output by output, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.agents.errors import OutputsDiffer, OutputsNotFinite
from apps.agents.reports import Estimate, Fidelity

Array = NDArray[np.generic]

SQNR_CEILING_DB = 200.0
"""Written for equal outputs, whose ratio is infinite: JSON has no infinity, and float32 ends near 150 dB."""


class OutputFidelity:
    """Sums over the batches of one output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signal = self.noise = self.absolute = self.cosines = 0.0
        self.elements = self.rows = 0
        self.max_abs_error = 0.0
        self.identical = True

    def add(self, original: Array, candidate: Array) -> None:
        a = original.reshape(len(original), -1).astype(np.float64)
        b = candidate.reshape(len(candidate), -1).astype(np.float64)
        error = a - b
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        same = ~error.any(axis=1)
        self.signal += float((a * a).sum())
        self.noise += float((error * error).sum())
        self.absolute += float(np.abs(error).sum())
        self.max_abs_error = max(self.max_abs_error, float(np.abs(error).max(initial=0.0)))
        self.cosines += float(np.where(same, 1.0, (a * b).sum(1) / np.where(lengths > 0, lengths, 1.0)).sum())
        self.elements += a.size
        self.rows += len(a)
        self.identical = self.identical and bool(same.all())

    @property
    def sqnr_db(self) -> float:
        """Signal-to-quantization-noise ratio: ten times the decimal logarithm of signal over error energy."""
        if self.noise == 0:
            return SQNR_CEILING_DB
        if self.signal == 0:
            return -SQNR_CEILING_DB
        return max(-SQNR_CEILING_DB, min(SQNR_CEILING_DB, 10 * math.log10(self.signal / self.noise)))


class FidelityMeter:
    """Every output of both models. What it reports is of the worst output, which for a single one is that one."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self._outputs = [OutputFidelity(name) for name in outputs]
        self.identical = True

    def add(self, original: Sequence[Array], candidate: Sequence[Array]) -> None:
        """Take one batch. Raises `OutputsDiffer` for other shapes and `OutputsNotFinite` for NaN or infinity."""
        if len(original) != len(candidate):
            raise OutputsDiffer(reason=f"it gives {len(candidate)} outputs and the original {len(original)}")
        for meter, a, b in zip(self._outputs, original, candidate, strict=True):
            if a.shape != b.shape:
                raise OutputsDiffer(reason=f"{meter.name!r} has the shape {list(b.shape)} instead of {list(a.shape)}")
            if a.dtype.kind not in "fiub":
                self.identical = self.identical and bool(np.array_equal(a, b))
                continue
            for which, array in (("original", a), ("candidate", b)):
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise OutputsNotFinite(which=which, output=meter.name)
            meter.add(a, b)
            self.identical = self.identical and meter.identical

    def report(self, agreement: Estimate | None) -> Fidelity:
        measured = [output for output in self._outputs if output.elements]
        if not measured:  # Outputs of text only: equal or not is all there is.
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
            cosine=min(output.cosines / output.rows for output in measured),
            max_abs_error=max(output.max_abs_error for output in measured),
            mean_abs_error=max(output.absolute / output.elements for output in measured),
            agreement=agreement,
        )
