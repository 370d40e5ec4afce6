"""Data of the plots that `static/js/plots.js` draws: blocks, classes, layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.evaluation import EvaluationReport

MOST_BARS = 40
"""The maximum number of bars. The tables contain everything."""
MOST_FRAGILE = 10
"""How many of the layers shown are chosen by sensitivity, regardless of their time."""


def blocks(evaluation: EvaluationReport) -> str:
    """Each block's median, and two ratios: the speed-up, and the original against itself."""
    latency = evaluation.latency
    return json.dumps(
        {
            "kind": "blocks",
            "original_ms": latency.original_blocks_ms,
            "candidate_ms": latency.candidate_blocks_ms,
            "speedup": latency.speedup.model_dump(),
            "control": latency.control.model_dump(),
        }
    )


def classes(evaluation: EvaluationReport) -> str:
    """The change in the recall of each class, in points. If there are many classes, only those that changed most."""
    changes = [(one.label, one.candidate_recall - one.original_recall, one.examples) for one in evaluation.classes]
    if len(changes) > MOST_BARS:
        changes = sorted(changes, key=lambda change: -abs(change[1]))[:MOST_BARS]
    return json.dumps(
        {
            "kind": "classes",
            "labels": [label for label, _, _ in changes],
            "change_points": [points for _, points, _ in changes],
            "examples": [examples for _, _, examples in changes],
        }
    )


Share = Callable[[Layer], float | None]
"""A layer's share of the whole, 0 to 1."""


def layers(analysis: AnalysisReport) -> str:
    """Time and sensitivity of each layer, in the order of the graph; empty if neither is known.

    If no layer was timed, the share of multiply-accumulates is used instead.
    """
    timed = any(layer.time_share is not None for layer in analysis.layers)
    share = share_of_time if timed else _share_of_work(analysis.layers)
    chosen = telling_layers(analysis.layers, share)
    if not chosen:
        return ""
    return json.dumps(
        {
            "kind": "layers",
            "names": [layer.name for layer in chosen],
            "operators": [layer.op_type for layer in chosen],
            "share": [share(layer) for layer in chosen],
            "share_of": "time" if timed else "multiply-accumulates",
            "sqnr_db": [layer.sqnr_db for layer in chosen],
        }
    )


def share_of_time(layer: Layer) -> float | None:
    return layer.time_share


def _share_of_work(every: Iterable[Layer]) -> Share:
    total = sum(layer.macs or 0 for layer in every)
    return lambda layer: layer.macs / total if layer.macs is not None and total else None


def telling_layers(every: Iterable[Layer], share: Share = share_of_time) -> list[Layer]:
    """The layers to plot: the largest and the most fragile of the measured ones."""
    known = [layer for layer in every if share(layer) is not None or layer.sqnr_db is not None]
    if len(known) <= MOST_BARS:
        return known
    fragile = sorted((one for one in known if one.sqnr_db is not None), key=lambda one: one.sqnr_db or 0.0)
    large = sorted(known, key=lambda one: -(share(one) or 0.0))
    chosen = {id(one) for one in fragile[:MOST_FRAGILE]}
    for one in large:
        if len(chosen) == MOST_BARS:
            break
        chosen.add(id(one))
    return [layer for layer in known if id(layer) in chosen]
