"""How well each operator, and each type of operator, tolerates 8 bits while everything else stays in float.

The order, the budget and the measure are those of `analysis.sensitivity`. Every experiment is a real quantization of
the named operators, with ranges that were measured once, run by the runtime itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from apps.agents.analysis.engine import Sensitivity, Tell
from apps.agents.analysis.sensitivity import conduct, experiments
from apps.agents.backends.litert.flatbuffer import LiteRtFile, parse_litert
from apps.agents.backends.litert.quantizing import QUANTIZABLE, Mode, Ranges, Scheme, measure_ranges, quantize, signed
from apps.agents.backends.litert.runtime import Session
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.evaluation.fidelity import energies
from apps.agents.evaluation.sqnr import sqnr_db
from apps.agents.measuring.engine import Array, Feeds

_LABEL = "the sensitivity analysis"
_STATIC = Scheme(Mode.STATIC)


def measure_sensitivity(
    model: bytes,
    file: LiteRtFile,
    batches: Sequence[Feeds],
    order: Sequence[str],
    *,
    budget_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Sensitivity:
    """Quantize each operator type alone, then each operator alone in the `order` of their names, until `budget_s` ends.

    Ranges and outputs are taken on the examples in `batches`. Raises `TechniqueLibraryFailed` if ranges cannot be
    measured.
    """
    found = Sensitivity()
    types = {
        file.name_of(operator): operator.op_type
        for operator in file.operators
        if operator.op_type in QUANTIZABLE and _computes_in_float(file, operator.outputs)
    }
    if not types:
        found.notes.append("Quantization sensitivity is not measured: none of its float operators supports 8 bits.")
        return found
    judge = _Judge(signed(model, file), file, batches)
    if not judge.places:
        found.notes.append("Quantization sensitivity is not measured: the model has no float output to compare.")
        return found
    conduct(list(experiments(types, order)), judge.sqnr_db, found, budget_s=budget_s, tell=tell, clock=clock)
    return found


def _computes_in_float(file: LiteRtFile, outputs: Sequence[int]) -> bool:
    return bool(outputs) and file.tensors[outputs[0]].dtype == "float32"


class _Judge:
    """Compares the float outputs with those of a model with quantized operators."""

    def __init__(self, model: bytes, file: LiteRtFile, batches: Sequence[Feeds]) -> None:
        self._model, self._batches = model, batches
        self._ranges: Ranges = measure_ranges(model, file, _STATIC, _LABEL, batches, threads=1)
        self._reference = self._outputs(model)
        self.places = [place for place, array in enumerate(self._reference[0]) if array.dtype.kind == "f"]

    def sqnr_db(self, names: tuple[str, ...]) -> float:
        """The lowest SQNR over the float outputs with the operators `names` quantized."""
        try:
            variant = quantize(self._model, _STATIC, _LABEL, only=names, ranges=self._ranges)
        except TechniqueLibraryFailed as error:
            raise ModelRunFailed(reason=error.context["reason"]) from error
        found = np.zeros((len(self.places), 2))
        for exact, rounded in zip(self._reference, self._outputs(variant), strict=True):
            found += [energies(exact[place], rounded[place]) for place in self.places]
        return min(sqnr_db(signal, noise) for signal, noise in found)

    def _outputs(self, model: bytes) -> list[list[Array]]:
        session = Session(parse_litert(model), model, Target())
        return [session(feeds) for feeds in self._batches]
