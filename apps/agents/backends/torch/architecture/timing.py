"""Times in ONNX Runtime, where a network found will run: of one operator alone, and of whole sub-networks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from apps.agents.backends.torch.export import to_onnx_of_fixed_shape
from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.architecture.table import Operator

OPSET, IR = 18, 10
WARM_RUNS, RUNS, REFERENCE_RUNS = 2, 10, 5
"""Of one model, and of the reference before and after it, in a round."""
ROUNDS = 7
MOST_S = 0.2
"""Of one model in a round, before its runs are over."""
_LEAST_MS = 1e-4
SAME = 1e-3
"""The largest difference to the sub-network in PyTorch, as a share of its largest output."""


@dataclass(frozen=True)
class Place:
    """A layer as it stands in the network, and the shape of what it gets, [1, channels, …] or [rows, features]."""

    part: nn.Module
    given: tuple[int, ...]
    made: int
    """Places of its output: what it makes in one example, by channel."""


@dataclass(frozen=True)
class Core:
    """What one attention computes between its layers, for one example: `count` times the products of queries and keys,
    and of their weights and values, of each head."""

    count: int
    heads: int
    queries: int
    keys: int
    width: int
    """Of one head."""

    def macs(self, heads: int) -> int:
        return 2 * self.count * heads * self.queries * self.keys * self.width


@dataclass(frozen=True)
class Timed:
    """A session, and what it runs on."""

    session: ort.InferenceSession
    feeds: dict[str, np.ndarray]


class Stopwatch:
    """Times models in turns with a reference, so that a machine that is faster or slower now does not show.

    A model's time is the median of its ratios to the reference, times the least time of that. Of runs in a row the
    fastest counts, because whatever else the machine does can only add. With one thread it is CPU time.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._clock = time.thread_time_ns if threads == 1 else time.perf_counter_ns
        self._reference = Timed(opened(_reference(), threads), {"x": _numbers((1, 64, 14, 14))})
        self.reference_ms = min(self._least(self._reference, RUNS) for _ in range(ROUNDS)) / 1e6
        self._empty = Timed(opened(_model([], _numbers((1,)), 1, 2), threads), {"y": _numbers((1, 1))})

    def times_ms(self, timed: Sequence[Timed]) -> list[float]:
        ratios: list[list[float]] = [[] for _ in timed]
        for _ in range(ROUNDS):
            before = self._least(self._reference, REFERENCE_RUNS)
            for one, found in zip(timed, ratios, strict=True):
                taken = self._least(one, RUNS)
                after = self._least(self._reference, REFERENCE_RUNS)
                found.append(2 * taken / (before + after))
                before = after
        return [float(np.median(found)) * self.reference_ms for found in ratios]

    def operators_ms(self, timed: Sequence[Timed]) -> list[float]:
        """The same, without what a call takes that computes nothing."""
        empty, *found = self.times_ms([self._empty, *timed])
        return [max(_LEAST_MS, one - empty) for one in found]

    def _least(self, one: Timed, runs: int) -> int:
        """In nanoseconds."""
        least, began = 0, time.perf_counter()
        for number in range(WARM_RUNS + runs):
            before = self._clock()
            one.session.run(None, one.feeds)
            taken = self._clock() - before
            if number >= WARM_RUNS:
                least = min(least, taken) if least else taken
            if least and time.perf_counter() - began > MOST_S:
                break
        return max(1, least)


def is_depthwise(part: nn.Module) -> bool:
    """Whether each of its outputs reads one input, so that both have the same number of channels."""
    return getattr(part, "groups", 1) > 1 and bool(part.groups == part.in_channels == part.out_channels)


def timed_operator(place: Place, operator: Operator, threads: int) -> Timed:
    proto, shape = _operator(place, operator)
    return Timed(opened(proto, threads), {"x": _numbers(shape)})


def timed_attention(core: Core, heads: int, threads: int) -> Timed:
    """The products of an attention with so many heads, on queries, keys and values that are laid out already."""
    lead = (core.count, heads)
    shapes = {"q": (core.queries, core.width), "k": (core.width, core.keys), "v": (core.keys, core.width)}
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*lead, *ends]) for name, ends in shapes.items()]
    made = helper.make_tensor_value_info("z", TensorProto.FLOAT, [None] * 4)
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "attention", given, [made])
    proto = helper.make_model(graph, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)])
    return Timed(opened(proto, threads), {name: _numbers((*lead, *ends)) for name, ends in shapes.items()})


def opened(proto: ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def timed_network(model: TorchModel, feeds: Feeds, threads: int, label: str) -> Timed:
    """The export of a sub-network. Raises `TechniqueLibraryFailed` if there is none, and `TechniqueInvalidOutput` if it
    computes something else."""
    session = opened(to_onnx_of_fixed_shape(model, feeds, label), threads)
    given = session.run(None, dict(feeds))
    for spec, one, other in zip(model.summary.outputs, model.run(feeds), given, strict=True):
        largest = max(float(np.abs(one).max(initial=0.0)), 1e-3)
        if one.shape != other.shape or not np.allclose(one, other, rtol=0, atol=SAME * largest):
            reason = f"the export of a sub-network gives another output {spec.name!r}"
            raise TechniqueInvalidOutput(technique=label, reason=reason)
    return Timed(session, dict(feeds))


def _operator(place: Place, operator: Operator) -> tuple[ModelProto, tuple[int, ...]]:
    """A model of the operator alone, with a ReLU behind it as is usual, and the shape of what it takes."""
    part = place.part
    if isinstance(part, nn.Linear):
        rows = math.prod(place.given[:-1])
        weight = _numbers((operator.outputs, operator.inputs))
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
        return _model([node], weight, operator.outputs, 2), (rows, operator.inputs)
    assert isinstance(part, nn.modules.conv._ConvNd)
    groups = operator.outputs if is_depthwise(part) else part.groups
    inputs = operator.inputs if groups == 1 else operator.outputs if is_depthwise(part) else part.in_channels
    sides = tuple(min(operator.kernel, length) for length in part.kernel_size)
    ends = (inputs, operator.outputs // groups) if part.transposed else (operator.outputs, inputs // groups)
    attributes: dict[str, object] = {"group": groups, "strides": list(part.stride), "dilations": list(part.dilation)}
    if isinstance(part.padding, str):
        attributes["auto_pad"] = "SAME_UPPER" if part.padding == "same" else "VALID"
    else:
        rims = [(length - side) // 2 for length, side in zip(part.kernel_size, sides, strict=True)]
        pads = [pad - rim * step for pad, rim, step in zip(part.padding, rims, part.dilation, strict=True)]
        attributes["pads"] = [*pads, *pads]
    node = helper.make_node("ConvTranspose" if part.transposed else "Conv", ["x", "w", "b"], ["y"], **attributes)
    return _model([node], _numbers((*ends, *sides)), operator.outputs, len(place.given)), (1, inputs, *place.given[2:])


def _reference() -> ModelProto:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    return _model([node], _numbers((64, 64, 3, 3)), 64, 4)


def _model(nodes: list[onnx.NodeProto], weight: np.ndarray, outputs: int, axes: int) -> ModelProto:
    """The nodes and a ReLU behind them, which is all if there are none."""
    given = helper.make_tensor_value_info("x" if nodes else "y", TensorProto.FLOAT, [None] * axes)
    nodes = [*nodes, helper.make_node("Relu", ["y"], ["z"])]
    made = helper.make_tensor_value_info("z", TensorProto.FLOAT, [None] * axes)
    held = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.zeros(outputs, np.float32), "b")]
    graph = helper.make_graph(nodes, "operator", [given], [made], held)
    return helper.make_model(graph, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)])


def _numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32) / 8
