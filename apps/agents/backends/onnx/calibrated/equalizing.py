"""Cross-layer equalization of an ONNX file: channels get like ranges, so that few bits suffice for all of them.

Nagel et al. 2019, https://arxiv.org/abs/1906.04721. Scaling an output channel of a layer by s = √(r₂/r₁) and dividing
what reads it by s gives both the range √(r₁r₂) and keeps the function; sweeps over all pairs converge. Here s is a
power of two, so that not one bit of a float result changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from apps.agents.backends.onnx.calibrated.bias_correction import Correction, corrections
from apps.agents.backends.onnx.calibrated.layers import Graph, without_bias
from apps.agents.backends.onnx.calibrated.pairs import (
    Pair,
    clip_bounds,
    pairs_of,
    ranges_in,
    ranges_out,
    scale_in,
    scale_out,
)
from apps.agents.backends.onnx.calibrated.preparing import CalibratedAgent
from apps.agents.backends.onnx.calibrated.weight_grid import rounding_grid
from apps.agents.backends.onnx.flow import Flow, flow_of
from apps.agents.backends.onnx.nodes import attribute
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.technique import drop_unread
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueNoEffect, TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring.statistics.moments import Matrix
from apps.agents.techniques.base import Applied, Assignment

SWEEPS = 40
"""The most sweeps over all pairs; they end once no scale changes."""
_DEAD = 1e-8
"""A channel whose weights are all smaller stays as it is."""


@dataclass(frozen=True)
class EqualizedPair:
    """The spread of the ranges of a layer's output channels: the largest over the smallest."""

    first: str
    readers: list[str]
    spread_before: float
    spread: float


class Equalization(CalibratedAgent):
    """Scales channels across layers and, where asked, absorbs high biases and corrects biases for a later rounding."""

    _pairs: list[EqualizedPair]
    _opened: list[dict[str, Any]]
    _absorbed: list[dict[str, Any]]
    _corrected: list[Correction]

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueNotApplicable` if no two layers can be scaled against each other."""
        super().check(assignment, context)
        if not any(pairs_of(self.graph)):
            reason = "no two of its layers have only operators between them that scale with their input, such as Relu"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        flow, chosen = flow_of(assignment), assignment.parameters
        context.progress(0.05, "looking at what is clipped")
        graph, self._opened = opened(self.graph, flow, float(chosen["most_clipped"]))
        pairs = [pair for pair in pairs_of(graph) if not pair.clips]
        context.progress(0.3, "equalizing the ranges of channels")
        self._pairs = equalize(graph, pairs)
        self._absorbed = absorb(graph, pairs, flow) if chosen["absorb_biases"] else []
        self._corrected = []
        if bits := int(chosen["corrected_bits"]):
            graph, self._corrected = _corrected(graph, bits, flow, context)
        drop_unread(graph.proto)
        evidence = {
            "pairs": [asdict(one) for one in self._pairs],
            "clips": self._opened,
            "absorbed": self._absorbed,
            "corrections": [asdict(one) for one in self._corrected],
        }
        return Applied(save_artifact(graph.proto, assignment.out), evidence)

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """The spread before and after. Raises `TechniqueNoEffect` if no channel was scaled and no bias changed."""
        changed = [one for one in self._pairs if one.spread != one.spread_before]
        if not changed and not self._corrected and not self._absorbed:
            reason = f"the channels of its {len(self._pairs)} pairs of layers have like ranges already"
            raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)
        widest = max(self._pairs, key=lambda one: one.spread_before, default=None)
        sentences = [] if widest is None else [_spread_in_words(len(self._pairs), widest)]
        sentences += [_clips_in_words(self._opened)] if self._opened else []
        if self._absorbed:
            sentences.append(f"{len(self._absorbed)} high biases were absorbed by the layers behind them.")
        if self._corrected:
            largest = max(one.largest for one in self._corrected)
            sentences.append(f"Biases were corrected by up to {largest:.2g} standard deviations.")
        return " ".join(sentences)


def equalize(graph: Graph, pairs: Sequence[Pair]) -> list[EqualizedPair]:
    """Scale all pairs in place until no scale changes."""
    before = [_spread(graph, pair) for pair in pairs]
    for _ in range(SWEEPS):
        changed = sum(_equalize(graph, pair) for pair in pairs)
        if not changed:
            break
    return [
        EqualizedPair(
            pair.first.name, [one.layer.name for one in pair.readers], round(old, 3), round(_spread(graph, pair), 3)
        )
        for pair, old in zip(pairs, before, strict=True)
    ]


def _equalize(graph: Graph, pair: Pair) -> bool:
    """Scale one pair. Returns whether a scale differs from one."""
    made, read = _ranges(graph, pair)
    alive = (made > _DEAD) & (read > _DEAD)
    exact = np.sqrt(np.where(alive, read, 1.0) / np.where(alive, made, 1.0))
    scale = np.exp2(np.rint(np.log2(exact)))
    if (scale == 1.0).all():
        return False
    scale_out(graph, pair.first, scale)
    for reader in pair.readers:
        scale_in(graph, reader, 1 / scale)
    return True


def _ranges(graph: Graph, pair: Pair) -> tuple[Matrix, Matrix]:
    return ranges_out(graph, pair.first), ranges_in(graph, pair.readers, pair.first.outputs)


def _spread(graph: Graph, pair: Pair) -> float:
    made = ranges_out(graph, pair.first)
    made = made[made > _DEAD]
    return float(made.max() / made.min()) if len(made) else 1.0


# --- clips ------------------------------------------------------------------------------------------------------------


def opened(graph: Graph, flow: Flow, most: float) -> tuple[Graph, list[dict[str, Any]]]:
    """The graph with each `Clip` from 0 in a pair turned into `Relu`, if it clips at most the share `most` of what
    calibration examples give it. `Clip` has one bound for all channels, so other pairs with one stay."""
    nodes = {node.name: node for pair in pairs_of(graph) for node in pair.clips}
    if not nodes:
        return graph, []
    shares = _clipped(graph, list(nodes), flow)
    found = []
    for name, node in nodes.items():
        replaced = shares[name] <= most
        found.append({"name": name, "clipped": round(shares[name], 6), "replaced": replaced})
        if replaced:
            node.op_type = "Relu"
            del node.input[1:]
            del node.attribute[:]
    return graph.copy(), found


def _clipped(graph: Graph, names: Sequence[str], flow: Flow) -> dict[str, float]:
    """The share of its inputs that each `Clip` cuts at its upper bound."""
    nodes = {node.name: node for node in graph.proto.graph.node}
    tensors = [nodes[name].input[0] for name in names]
    bounds = [clip_bounds(graph, nodes[name])[1] for name in names]
    cut, whole = np.zeros(len(names)), np.zeros(len(names))
    for (arrays,) in flow.through((graph.proto, tensors)):
        cut += [int((array > bound).sum()) for array, bound in zip(arrays, bounds, strict=True)]
        whole += [array.size for array in arrays]
    return dict(zip(names, (cut / np.maximum(whole, 1)).tolist(), strict=True))


# --- biases -----------------------------------------------------------------------------------------------------------


def absorb(graph: Graph, pairs: Sequence[Pair], flow: Flow) -> list[dict[str, Any]]:
    """Move what a channel always exceeds zero by into the biases of what reads it (section 4.1.3).

    That is the smallest value seen in calibration, and only for convolutions without padding and products right behind
    a Relu: elsewhere the function would change.
    """
    suited = [pair for pair in pairs if _absorbs(pair)]
    lowest: dict[str, Matrix] = {}
    tensors = [pair.first.end for pair in suited]
    for (arrays,) in flow.through((graph.proto, tensors)) if suited else ():
        for pair, array in zip(suited, arrays, strict=True):
            place = 1 if pair.first.kernel else array.ndim - 1
            seen = np.moveaxis(array, place, -1).reshape(-1, pair.first.outputs).min(0).astype(np.float64)
            lowest[pair.first.name] = np.minimum(lowest.get(pair.first.name, seen), seen)
    found = []
    for pair in suited:
        amount = np.maximum(lowest[pair.first.name], 0.0)
        if not amount.any():
            continue
        _absorb(graph, pair, amount)
        found.append(
            {"name": pair.first.name, "channels": int((amount > 0).sum()), "largest": round(float(amount.max()), 4)}
        )
    return found


def _absorbs(pair: Pair) -> bool:
    relus = len(pair.between) == 1 and pair.between[0].op_type == "Relu"
    unpadded = all(
        not any(attribute(one.layer.node, "pads", [0]))
        and attribute(one.layer.node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        for one in pair.readers
    )
    return relus and unpadded and bool(pair.first.bias) and all(one.layer.bias for one in pair.readers)


def _absorb(graph: Graph, pair: Pair, amount: Matrix) -> None:
    assert pair.first.bias
    graph.store(pair.first.bias, graph.array(pair.first.bias) - amount)
    for reader in pair.readers:
        layer = reader.layer
        rows = graph.weight(layer)
        read = rows.reshape(layer.groups, rows.shape[1], len(amount) // layer.groups, -1).sum(-1)
        gained = (read * amount.reshape(layer.groups, 1, -1)).sum(-1).reshape(-1)
        assert layer.bias
        graph.store(layer.bias, graph.array(layer.bias) + gained)


def _corrected(graph: Graph, bits: int, flow: Flow, context: Context) -> tuple[Graph, list[Correction]]:
    """The graph with biases that make up for rounding its weights to `bits` later."""
    graph.give_biases(without_bias(graph))
    graph = graph.copy()
    rounded = graph.copy()
    for layer in rounded.layers:
        weight = rounded.weight(layer)
        rounded.store_weight(layer, rounding_grid(weight, bits).nearest(weight))
    biases, corrected = corrections(
        graph, rounded, flow, lambda share, what: context.progress(0.4 + 0.55 * share, what)
    )
    for name, values in biases.items():
        graph.store(name, values)
    return graph, corrected


# --- words ------------------------------------------------------------------------------------------------------------


def _spread_in_words(count: int, widest: EqualizedPair) -> str:
    return (
        f"The channels of {count} pairs of layers were equalized. The widest spread of their ranges, that of "
        f"{widest.first}, is {widest.spread:.3g} instead of {widest.spread_before:.3g}."
    )


def _clips_in_words(opened_clips: Sequence[dict[str, Any]]) -> str:
    replaced = [one for one in opened_clips if one["replaced"]]
    share = max((one["clipped"] for one in replaced), default=0.0)
    kept = len(opened_clips) - len(replaced)
    sentence = f"{len(replaced)} Clips became Relu, which changes at most {share:.2%} of their values"
    return f"{sentence}; {kept} stay, because they clip more." if kept else f"{sentence}."
