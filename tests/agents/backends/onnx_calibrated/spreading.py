"""The depthwise sample with channel ranges spread by hand: the same function, and far harder to quantize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from apps.agents.backends.onnx.calibrated.layers import Graph
from apps.agents.backends.onnx.calibrated.pairs import pairs_of, scale_in, scale_out
from apps.agents.backends.onnx.graph import prepare_to_quantize
from tests.agents.told import Told
from tests.agents.workshop import DEPTHWISE


def spread(folder: Path, model: Path = DEPTHWISE, *, factor: float = 10.0, seed: int = 0) -> Path:
    """`model` with each channel between two layers scaled by a factor from 1/`factor` to `factor`.

    Every `Clip` becomes a `Relu` before that, because a scaled channel would be clipped elsewhere.
    """
    work = folder / "prepared"
    work.mkdir()
    graph = relus(Graph(onnx.load(str(prepare_to_quantize(model, model, work, Told())))))
    random = np.random.default_rng(seed)
    for pair in pairs_of(graph):
        scale = factor ** random.uniform(-1, 1, pair.first.outputs)
        scale_out(graph, pair.first, scale)
        for reader in pair.readers:
            scale_in(graph, reader, 1 / scale)
    target = folder / f"spread_{model.name}"
    onnx.save(graph.proto, str(target))
    return target


def relus(graph: Graph) -> Graph:
    """The graph with each `Clip` between two layers turned into a `Relu`."""
    for pair in pairs_of(graph):
        for node in pair.clips:
            node.op_type = "Relu"
            del node.input[1:]
            del node.attribute[:]
    return graph.copy()
