"""How the inputs of layers vary together on calibration examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx.decomposition.layers import OnnxLayer
from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.patches import patches
from apps.agents.backends.onnx.split_model import Array
from apps.agents.measuring.statistics.moments import Moments, Stack
from apps.agents.techniques.channel_pruning.row_sample import RowSample, Take
from apps.agents.techniques.decomposition.spread import ROWS_PER_FEATURE, Spread, in_memory


def spreads(proto: ModelProto, layers: Sequence[OnnxLayer], flow: Flow, seed: int) -> Iterator[Spread]:
    """One for each layer."""
    for group in in_memory(layers, lambda layer: layer.dense):
        moments = [Moments() for _ in group]
        takes = [
            RowSample(layer.dense.matrix.shape[1], flow.examples, seed, per_feature=ROWS_PER_FEATURE) for layer in group
        ]
        sources = list(dict.fromkeys(layer.source for layer in group))
        for (arrays,) in flow.through((proto, sources)):
            given = dict(zip(sources, arrays, strict=True))
            for layer, seen, take in zip(group, moments, takes, strict=True):
                rows = rows_read(layer, given[layer.source], take.of(len(given[layer.source])))
                seen.add(rows, rows[:, :, :1])
        while moments:
            seen = moments.pop(0)
            yield Spread(seen.gram[0], seen.mean_x[0])


def rows_read(layer: OnnxLayer, source: Array, take: Take) -> Stack:
    """The rows that a layer multiplies by its weight, [1, rows, features], those taken."""
    if not layer.dense.kernel:
        rows = np.asarray(source, np.float32).reshape(-1, source.shape[-1])
        return rows[None, take(len(rows))]
    windows = patches(layer.node, source, layer.dense.kernel)
    places = windows.shape[: 1 + len(layer.dense.kernel)]
    where = np.unravel_index(take(math.prod(places)), places)
    picked = windows[where]
    return np.asarray(picked.reshape(1, len(picked), -1), np.float32)
