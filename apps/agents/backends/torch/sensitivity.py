"""How well each part of a model, and each type of part, tolerates 8 bits while everything else stays in float.

The order, the budget and the measure are those of `apps.agents.analysis.sensitivity`, the grids those of
`apps.agents.backends.torch.fake_quantization`. The ranking also holds for 4-bit techniques: fewer bits increase the
noise of every part by about the same factor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from apps.agents.analysis.engine import Sensitivity, Tell
from apps.agents.analysis.sensitivity import conduct, experiments
from apps.agents.backends.torch.anatomy import Anatomy
from apps.agents.backends.torch.fake_quantization import quantizable, quantized
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.evaluation.sqnr import sqnr_db
from apps.agents.measuring.engine import Feeds


def measure_sensitivity(
    anatomy: Anatomy,
    batches: Sequence[Feeds],
    order: Sequence[str],
    *,
    budget_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Sensitivity:
    """Quantize each type of part alone, then each part alone in the `order` of their names, until `budget_s` has
    passed.

    The float outputs are compared on the examples in `batches`; the output that loses most counts.
    """
    found = Sensitivity()
    types = quantizable(anatomy)
    if not types:
        found.notes.append("Quantization sensitivity is not measured: no part of the model has float weights.")
        return found
    judge = _Judge(anatomy, batches)
    if not judge.places:
        found.notes.append("Quantization sensitivity is not measured: the model has no float output to compare.")
        return found
    if not anatomy.hookable:
        found.notes.append(
            "The sensitivity covers only rounded weights: this format hides the values between the layers."
        )
    conduct(list(experiments(types, order)), judge.sqnr_db, found, budget_s=budget_s, tell=tell, clock=clock)
    return found


class _Judge:
    """Compares the float outputs with those of a model with quantized parts."""

    def __init__(self, anatomy: Anatomy, batches: Sequence[Feeds]) -> None:
        self._anatomy, self._batches = anatomy, batches
        self._reference = [self._run(feeds) for feeds in batches]
        self.places = [place for place, tensor in enumerate(self._reference[0]) if tensor.is_floating_point()]

    def sqnr_db(self, names: tuple[str, ...]) -> float:
        """The lowest SQNR over the float outputs with the parts `names` quantized."""
        energies = {place: [0.0, 0.0] for place in self.places}
        with quantized(self._anatomy, names):
            for feeds, exact in zip(self._batches, self._reference, strict=True):
                results = self._run(feeds)
                for place, energy in energies.items():
                    signal, noise = _energies(exact[place], results[place])
                    energy[0] += signal
                    energy[1] += noise
        return min(sqnr_db(signal, noise) for signal, noise in energies.values())

    def _run(self, feeds: Feeds) -> list[torch.Tensor]:
        model = self._anatomy.model
        try:
            with torch.inference_mode():
                return model.call(model.tensors(feeds))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelRunFailed(reason=" ".join(str(error).split())[:400].rstrip(". ")) from error


def _energies(exact: torch.Tensor, rounded: torch.Tensor) -> tuple[float, float]:
    """Energies of the signal and of the change, over the elements that are finite in float."""
    if exact.shape != rounded.shape:
        return 0.0, float("inf")
    change = rounded.float() - exact.float()
    finite = torch.isfinite(exact)
    if not finite.all():
        exact, change = exact[finite], change[finite]
    return _energy(exact), _energy(change)


def _energy(values: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(values, dtype=torch.float64) ** 2)
