"""Measures layers of a Keras model and their factors: inputs, times, and what the output loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.agents.backends.tensorflow.decomposition.factors import Replacement, layers_for, store
from apps.agents.backends.tensorflow.decomposition.layers import KerasLayer, kernel_of, rows_read
from apps.agents.backends.tensorflow.pruning.flow import Array, Flow
from apps.agents.evaluation.fidelity import energies
from apps.agents.measuring.statistics.moments import Moments
from apps.agents.techniques.channel_pruning.row_sample import RowSample
from apps.agents.techniques.decomposition.factors import Factors
from apps.agents.techniques.decomposition.options import Factorizer
from apps.agents.techniques.decomposition.spread import ROWS_PER_FEATURE, Spread, in_memory

NOISE_EXAMPLES = 96
ROUNDS = 25
LEAST_ROUNDS = 7
BUDGET_S = 0.6
"""After this time, no further round of timing is begun."""


def spreads(model: Any, layers: Sequence[KerasLayer], flow: Flow, seed: int) -> Iterator[Spread]:
    """How the inputs of each layer vary together, a few layers in memory at a time."""
    for group in in_memory(layers, lambda layer: layer.dense):
        moments = [Moments() for _ in group]
        takes = [
            RowSample(layer.dense.matrix.shape[1], flow.examples, seed, per_feature=ROWS_PER_FEATURE) for layer in group
        ]
        for (arrays,) in flow.through((model, [layer.source for layer in group])):
            for layer, array, seen, take in zip(group, arrays, moments, takes, strict=True):
                rows = rows_read(layer, array, take.of(len(array)))
                seen.add(rows, rows[:, :, :1])
        while moments:
            seen = moments.pop(0)
            yield Spread(seen.gram[0], seen.mean_x[0])


@dataclass
class KerasMeasurer:
    """Of one model, which is not changed."""

    model: Any
    layers: Mapping[str, KerasLayer]
    flow: Flow
    threads: int = 1

    def times_ms(self, factorizer: Factorizer, factors: Sequence[Factors]) -> list[float]:
        """As TensorFlow runs them: each as one compiled function of the input of one example, in turns."""
        layer = self.layers[factorizer.layer.name]
        shape = (1, *map(int, tuple(layer.source.shape)[1:]))
        given = tf.constant(np.random.default_rng(0).normal(size=shape), layer.layer.compute_dtype)
        runs = [_compiled([layer.layer], given)]
        still = np.zeros(factorizer.layer.outputs)
        for one in factors:
            replacement = Replacement(layer, one, still)
            made = layers_for(replacement)
            runs.append(_compiled(made, given, partial(store, made, replacement)))
        taken: list[list[int]] = [[] for _ in runs]
        began = time.perf_counter()
        for number in range(ROUNDS + 1):
            for run, times in zip(runs, taken, strict=True):
                times.append(self._once(run))
            if number >= LEAST_ROUNDS and time.perf_counter() - began > BUDGET_S:
                break
        return [float(np.median(times[1:])) / 1e6 for times in taken]

    def noise(self, factorizer: Factorizer, factors: Factors) -> float:
        """The highest noise-to-signal ratio over the outputs, with the weight that the factors multiply to."""
        changed = self._copy.get_layer(factorizer.layer.name)
        before = changed.get_weights()
        product = factors.product.reshape(factorizer.layer.weight.shape)
        changed.kernel.assign(kernel_of(product, changed))
        shift = factorizer.spread.shift(factorizer.layer.matrix, factors.product)
        changed.bias.assign_add(shift.astype(np.float32))
        sums = np.zeros((len(self.model.outputs), 2))
        for exact, (noisy,) in zip(self._exact, self._few.through((self._copy, self._copy.outputs)), strict=True):
            sums += [energies(a, b) for a, b in zip(exact, noisy, strict=True)]
        changed.set_weights(before)
        return float(max(noise / max(signal, 1e-30) for signal, noise in sums))

    def replacement(self, factorizer: Factorizer, factors: Factors) -> Replacement:
        shift = factorizer.spread.shift(factorizer.layer.matrix, factors.product)
        return Replacement(self.layers[factorizer.layer.name], factors, shift)

    @cached_property
    def _copy(self) -> Any:
        """The same model with its own variables; every layer that can be replaced has a bias."""

        def cloned(layer: Any) -> Any:
            config = layer.get_config()
            return type(layer).from_config({**config, "use_bias": True} if layer.name in self.layers else config)

        copy = keras.models.clone_model(self.model, clone_function=cloned)
        for layer in self.model.layers:
            given = layer.get_weights()
            if layer.name in self.layers and not layer.use_bias:
                given = [*given, np.zeros(given[0].shape[-1], np.float32)]
            copy.get_layer(layer.name).set_weights(given)
        return copy

    @cached_property
    def _few(self) -> Flow:
        return self.flow.fewer(NOISE_EXAMPLES)

    @cached_property
    def _exact(self) -> list[list[Array]]:
        return [outputs for (outputs,) in self._few.through((self.model, self.model.outputs))]

    def _once(self, run: Callable[[], object]) -> int:
        """Nanoseconds: of this process alone, which other programs cannot lengthen, where one thread does the work."""
        clock = time.process_time_ns if self.threads == 1 else time.perf_counter_ns
        start = clock()
        run()
        return clock() - start


def _compiled(layers: Sequence[Any], given: Any, prepare: Callable[[], None] | None = None) -> Callable[[], object]:
    """A run of the layers, one after the other, on `given`; `prepare` is called once they are built."""

    def whole(tensor: Any) -> Any:
        for layer in layers:
            tensor = layer(tensor)
        return tensor

    whole(given)
    if prepare is not None:
        prepare()
    function = tf.function(whole).get_concrete_function(given)
    return lambda: function(given)
