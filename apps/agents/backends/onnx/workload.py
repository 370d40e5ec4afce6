"""What a graph computes for one example, and what it stores, counted with the shapes of a real run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from apps.agents.backends.onnx.cost import LayerCost, layer_costs
from apps.agents.backends.onnx.observation import observe
from apps.agents.backends.onnx.split_model import SplitModel
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.reduction import Workload

Shapes = Mapping[str, tuple[int, ...]]


def costs_of(model: Path, feeds: Feeds, examples: int) -> tuple[tuple[LayerCost, ...], Shapes]:
    """The cost of every node of an opened model, and the shapes of a run over `examples` examples."""
    split = SplitModel(model, threads=1)
    shapes = observe(split, [feeds]).shapes
    return layer_costs(split.proto, shapes, examples), shapes


def workload(costs: tuple[LayerCost, ...]) -> Workload:
    """The sums over all nodes."""
    return Workload(sum(cost.macs or 0 for cost in costs), sum(cost.parameters for cost in costs))


def macs_of(costs: tuple[LayerCost, ...]) -> dict[str, int]:
    """Multiply-accumulates of one example by node, if there are any."""
    return {cost.name: cost.macs for cost in costs if cost.macs}
