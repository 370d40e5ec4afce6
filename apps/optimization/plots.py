"""Data of the plots that `static/js/plots.js` draws: accuracy against latency, blocks, classes, layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate
from apps.optimization.models import Candidate

MOST_BARS = 40
"""The maximum number of bars. The tables contain everything."""
MOST_FRAGILE = 10
"""How many of the layers shown are chosen by sensitivity, regardless of their time."""


def tradeoff(
    measured: Sequence[tuple[Candidate, dict[str, Any]]], runtimes: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The change in the metric against latency, for candidates with the bodies of their evaluations.

    Each candidate is plotted by its paired change from the original on the same examples, because ranking and judging
    use different examples, on which the original itself scores differently. The original is timed with every candidate;
    the plot uses its latency from the first judged one, or from the first. `runtimes` names the runtime of each
    candidate, and the original's under the empty key.
    """
    if not measured:
        return json.dumps({"kind": "tradeoff", "points": []})
    first = next((body for _, body in measured if body.get("part") != Part.CHOOSING), measured[0][1])
    primary = first["metrics"][0]
    still = {"value": 0.0, "low": None, "high": None}
    original = _point("original", "Original", "original", first["latency"]["original"], still)
    points = [
        _point(one.key, one.title, one.status, body["latency"]["candidate"], _change(body["metrics"][0]))
        | {"runtime": runtimes.get(one.key, "")}
        for one, body in measured
    ]
    unit = "points" if primary["unit"] == "%" else primary["unit"]
    unit = f" ({unit})" if unit else ""
    better = "" if primary.get("higher_is_better", True) else ", lower is better"
    return json.dumps(
        {
            "kind": "tradeoff",
            "points": [original | {"runtime": runtimes.get("", "")}, *points],
            "metric": f"change in {primary['label']}{unit}{better}",
        }
    )


def _change(metric: dict[str, Any]) -> dict[str, Any]:
    """The estimate of a metric's change, candidate minus original."""
    drop = Estimate.model_validate(metric["drop"])
    return (drop.negated() if metric.get("higher_is_better", True) else drop).model_dump()


def _point(key: str, title: str, status: str, latency: dict[str, Any], estimate: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "status": status,
        "latency_ms": latency["p50_ms"],
        "metric": estimate["value"],
        "low": estimate["low"],
        "high": estimate["high"],
    }


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
