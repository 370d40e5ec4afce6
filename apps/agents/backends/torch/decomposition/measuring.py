"""Measures modules and their factors: time, and what the output loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from apps.agents.backends.torch.decomposition.layers import TorchLayer
from apps.agents.backends.torch.decomposition.modules import Replacement, factors_of, replaced
from apps.agents.backends.torch.model import TorchModel
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.decomposition.factors import Factors
from apps.agents.techniques.decomposition.options import Factorizer

NOISE_EXAMPLES = 96
ROUNDS = 25
LEAST_ROUNDS = 7
BUDGET_S = 0.6
"""After this time, no further round of timing is begun."""


@dataclass(frozen=True)
class TorchMeasurer:
    """Of one model, which is not changed."""

    model: TorchModel
    layers: Mapping[str, TorchLayer]
    batches: Callable[[int], Iterator[Feeds]]
    """Up to a number of calibration examples, in batches."""
    threads: int = 1

    def times_ms(self, factorizer: Factorizer, factors: Sequence[Factors]) -> list[float]:
        layer = self.layers[factorizer.layer.name]
        still = np.zeros(factorizer.layer.outputs)
        modules = [layer.part, *(factors_of(Replacement(layer, one, still)) for one in factors)]
        given = torch.randn(1, *layer.given[1:], generator=torch.Generator().manual_seed(0)).to(layer.part.weight.dtype)
        taken: list[list[int]] = [[] for _ in modules]
        began = time.perf_counter()
        with torch.no_grad():
            for number in range(ROUNDS + 1):
                for module, times in zip(modules, taken, strict=True):
                    times.append(self._once(module, given))
                if number >= LEAST_ROUNDS and time.perf_counter() - began > BUDGET_S:
                    break
        return [float(np.median(times[1:])) / 1e6 for times in taken]

    def noise(self, factorizer: Factorizer, factors: Factors) -> float:
        """The highest noise-to-signal ratio over the outputs."""
        name = factorizer.layer.name
        changed = replaced(self.model.module, {name: self.replacement(factorizer, factors)})
        sums = np.zeros((len(self.model.summary.outputs), 2))
        for feeds in self.batches(NOISE_EXAMPLES):
            exact, noisy = self.model.run(feeds), replace(self.model, module=changed).run(feeds)
            sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
        return float(max(noise / max(signal, 1e-30) for signal, noise in sums))

    def replacement(self, factorizer: Factorizer, factors: Factors) -> Replacement:
        shift = factorizer.spread.shift(factorizer.layer.matrix, factors.product)
        return Replacement(self.layers[factorizer.layer.name], factors, shift)

    def _once(self, module: nn.Module, given: Tensor) -> int:
        """Nanoseconds: of this thread alone, which other programs cannot lengthen, where it does all of the work."""
        clock = time.thread_time_ns if self.threads == 1 else time.perf_counter_ns
        start = clock()
        module(given)
        return clock() - start
