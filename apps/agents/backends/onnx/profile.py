"""The time of each layer, from ONNX Runtime's own profiler.

The runtime times the nodes that remain after its optimizations. Each is assigned to a layer of the graph by, in this
order: its own name; its outputs (a fused node ends where its last part ended); the name of a node in the blocked
layout, which is its output's with `_nchwc`; the longest layer name that its name begins with (fused nodes are often
named so). A fused operator counts for its convolution or product. The rest, such as changes of layout, belongs to no
layer.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import GraphProto, NodeProto

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.runtime import Feeds
from apps.agents.contracts.criteria import Target
from apps.agents.measuring.operator_times import CONVERSIONS, OperatorTimes, TimedOperator

WARMUP_RUNS = 3
RUNS = 10
_SUFFIX = "_kernel_time"
_BLOCKED = "_nchwc"
_PARTS = {
    "FusedConv": "Conv",
    "FusedMatMul": "MatMul",
    "FusedGemm": "Gemm",
}
"""Fused operators and the part that represents them."""
_FARTHEST_PART = 4
"""How many nodes before its end to search for a fused operator's convolution or product."""
_DEQUANTIZE = "DequantizeLinear"
_LAYOUT_CHANGES = frozenset({"ReorderInput", "ReorderOutput"})


@dataclass
class Profile:
    """Times of one run in milliseconds: medians over the profiled runs."""

    layers_ms: dict[str, float] = field(default_factory=dict)
    """By node name. A layer that was fused into another or folded away is missing."""
    other_ms: float = 0.0
    """Time of nodes that the runtime added itself."""

    @property
    def total_ms(self) -> float:
        return sum(self.layers_ms.values()) + self.other_ms

    def share(self, name: str) -> float | None:
        """The layer's share of the time of all operators, 0 to 1; `None` if it has no time of its own."""
        return self.layers_ms[name] / self.total_ms if name in self.layers_ms and self.total_ms else None


def profile(model: Path, feeds: Feeds, target: Target, *, runs: int = RUNS) -> Profile:
    """Profile `runs` runs of an opened `model` after a warm-up, with the target's threads and provider.

    Raises `ModelNotLoadable`, `ModelRunFailed` and `DeviceMissing`.
    """
    events, timed = _record(model, feeds, target, runs)
    homes = _Homes(files.load_proto(model, weights=False).graph, timed)
    return _by_layer(_times_by_node(events, homes.timed, runs), homes)


def operator_times(model: Path, feeds: Feeds, target: Target, *, runs: int = RUNS) -> OperatorTimes:
    """Every node that the runtime runs after its optimizations, with its layer in the file.

    Raises the errors of `profile`.
    """
    events, timed = _record(model, feeds, target, runs)
    homes = _Homes(files.load_proto(model, weights=False).graph, timed)
    times, dequantized = _times_by_node(events, homes.timed, runs), _dequantized(events, timed)
    return tuple(
        TimedOperator(homes.of(name) or "", node.op_type, times[name], dequantized.get(name, ""))
        for name, node in homes.timed.items()
        if name in times
    )


def _record(model: Path, feeds: Feeds, target: Target, runs: int) -> tuple[list[dict[str, Any]], GraphProto]:
    """The profiler's events of the warm-up and of `runs` more runs, and the graph that was run."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        options = runtime.session_options(target.threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        optimized = Path(folder) / "optimized.onnx"
        runtime.save_optimized(options, optimized, files.size_bytes(model))
        session = runtime.open_session(model, options=options, device=target.device)
        for _ in range(_warmup(runs) + runs):
            runtime.run(session, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return events, files.load_proto(optimized, weights=False).graph


def _dequantized(events: list[dict[str, Any]], timed: GraphProto) -> dict[str, str]:
    """The nodes whose first input was converted to float for them, by name, with its original type."""
    made_float = {node.output[0]: node.name for node in timed.node if node.op_type == _DEQUANTIZE}
    types = {
        event["name"].removesuffix(_SUFFIX): next(iter(event["args"]["input_type_shape"][0]), "")
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("op_name") == _DEQUANTIZE
    }
    return {
        node.name: types.get(made_float[node.input[0]], "")
        for node in timed.node
        if node.input and node.input[0] in made_float and node.op_type not in CONVERSIONS
    }


def _warmup(runs: int) -> int:
    """Number of uncounted runs before `runs` counted ones. A model with few profiled runs is slow."""
    return min(WARMUP_RUNS, runs)


def _times_by_node(events: list[dict[str, Any]], timed: Mapping[str, NodeProto], runs: int) -> dict[str, float]:
    """Median milliseconds of each timed node by name, without warm-up runs.

    Nodes inside a branch or a loop have events too; their time is already in the surrounding node's.
    """
    times_us: dict[str, list[float]] = {}
    for event in events:
        name = event.get("name", "").removesuffix(_SUFFIX)
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX) and name in timed:
            times_us.setdefault(name, []).append(float(event["dur"]))
    return {name: statistics.median(times[_warmup(runs) :] or times) / 1000 for name, times in times_us.items()}


class _Homes:
    """Finds the layer of `graph` to which a node of the optimized graph `timed` belongs."""

    def __init__(self, graph: GraphProto, timed: GraphProto) -> None:
        self.layers = {node.name for node in graph.node}
        self.producers = {output: node for node in graph.node for output in node.output}
        self.timed = {node.name: node for node in timed.node}
        self.longest_first = sorted(self.layers - {""}, key=len, reverse=True)

    def of(self, name: str) -> str | None:
        node = self.timed[name]
        if name in self.layers:
            return name
        if node.op_type in _LAYOUT_CHANGES:
            return None
        outputs = (*node.output, name.removesuffix(_BLOCKED))
        end = next((self.producers[output] for output in outputs if output in self.producers), None)
        if end is not None:
            return str(self._part(end, _PARTS.get(node.op_type, node.op_type)).name)
        return next((layer for layer in self.longest_first if name.startswith(layer)), None)

    def _part(self, end: NodeProto, op_type: str) -> NodeProto:
        """The nearest node of `op_type` at or before `end`, else `end`."""
        nearest = [end]
        for _ in range(_FARTHEST_PART):
            for node in nearest:
                if node.op_type == op_type:
                    return node
            nearest = [self.producers[name] for node in nearest for name in node.input if name in self.producers]
        return end


def _by_layer(times_ms: Mapping[str, float], homes: _Homes) -> Profile:
    found = Profile()
    for name, time_ms in times_ms.items():
        home = homes.of(name)
        if home is None:
            found.other_ms += time_ms
        else:
            found.layers_ms[home] = found.layers_ms.get(home, 0.0) + time_ms
    return found
