"""SmoothQuant for ONNX graphs: static int8 of the matrix products, after outliers were moved into their weights.

`apps.agents.backends.onnx.smoothing` describes the smoothing. How far the difficulty is moved (α) is searched for each
model: on calibration examples, every matrix product after a norm is computed with both sides rounded to 8 bits as in
the runtime, and the α with the smallest total error is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from apps.agents.backends.onnx import files, runtime
from apps.agents.backends.onnx.quantization import StaticQuantization
from apps.agents.backends.onnx.smoothing import Floats, Site, Smoothing
from apps.agents.backends.onnx.technique import save_beside
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.evaluation.fidelity import OutputFidelity
from apps.agents.techniques.base import Applied, Assignment, Coverage

PRODUCTS = ("MatMul", "Gemm")
ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))
"""Values of the search: 0 leaves all the difficulty to the activations, 1 moves all of it into the weights."""
SEARCH_ROWS = 256
"""Rows of each site (such as tokens) that the search uses."""
EIGHT_BIT_STEPS, SEVEN_BIT_STEPS = 127, 64
"""Steps of a weight on either side of zero."""
SAME_DB = 80.0
"""Smoothing reorders float32 arithmetic, whose rounding stays far below this."""
_STATIC = {"calibration": "minmax", "symmetric_activations": False, "keep_float_operators": (), "operators": PRODUCTS}


class SmoothQuant(StaticQuantization):
    """W8A8 of matrix products behind LayerNorm or RMSNorm. Method: Xiao et al. 2023, arXiv 2211.10438."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Raises `TechniqueNotApplicable` if no norm precedes a matrix product."""
        super().check(_as_static(assignment), context)
        if not Smoothing(self.graph(), self.prepared.parent).sites:
            reason = "none of its norms feeds a matrix product with stored weights"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)

    def coverage(self, assignment: Assignment) -> Coverage:
        return super().coverage(_as_static(assignment))

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        smoothing = Smoothing(self.graph(), self.prepared.parent)
        context.progress(0.0, f"examining {len(smoothing.sites)} norms")
        seen = _Seen(self.prepared, smoothing, assignment)
        alpha = float(assignment.parameters["alpha"])
        if alpha < 0:
            alpha = best_alpha(smoothing, seen, assignment.parameters)
        scales = {site.tensor: smoothing.scales(site, seen.largest[site.tensor], alpha) for site in smoothing.sites}
        smoothed = save_beside(smoothing.smoothed(scales), self.prepared, "smoothed.onnx")
        fidelity = _fidelity(self.prepared, smoothed, assignment)
        if fidelity.sqnr_db < SAME_DB:
            reason = f"smoothing alone changes the outputs by up to {fidelity.max_abs_error:.3g}"
            raise TechniqueInvalidOutput(technique=assignment.spec.label, reason=reason)
        self._smoothing_note = (
            f"Outliers of {len(scales)} norms were moved into the weights with alpha {alpha:g}. Before any rounding, "
            f"that changes the outputs by at most {fidelity.max_abs_error:.2g}."
        )
        self.prepared = smoothed
        applied = super().apply(_as_static(assignment), context)
        smoothing_found = {"alpha": alpha, "norms": len(scales), "largest_change": float(fidelity.max_abs_error)}
        return Applied(applied.artifact, {**applied.evidence, "smoothing": smoothing_found})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        return f"{super().effect(assignment, before, after)} {self._smoothing_note}"


def best_alpha(smoothing: Smoothing, seen: _Seen, parameters: Mapping[str, Any]) -> float:
    """The α of `ALPHAS` with the smallest relative error of the products, summed over the sites."""
    errors = [sum(_error(smoothing, site, seen, alpha, parameters) for site in smoothing.sites) for alpha in ALPHAS]
    return ALPHAS[int(np.argmin(errors))]


def _error(smoothing: Smoothing, site: Site, seen: _Seen, alpha: float, parameters: Mapping[str, Any]) -> float:
    """Energy of the error of a site's products in 8 bits, relative to the energy of the products."""
    scale = smoothing.scales(site, seen.largest[site.tensor], alpha)
    low, high = seen.lowest[site.tensor] / scale, seen.highest[site.tensor] / scale
    rows = seen.rows[site.tensor]
    rounded = _rounded_activations(rows / scale, float(low.min()), float(high.max()))
    noise = signal = 0.0
    steps = SEVEN_BIT_STEPS if parameters.get("reduce_range") else EIGHT_BIT_STEPS
    for product in site.products:
        weight = smoothing.weight(product)
        exact = rows @ weight
        grid = _rounded_weights(weight * scale[:, np.newaxis], steps, per_channel=parameters["per_channel"])
        changed = rounded @ grid
        noise += float(np.square(changed - exact).sum())
        signal += float(np.square(exact).sum())
    return noise / signal if signal else 0.0


def _rounded_activations(array: Floats, low: float, high: float) -> Floats:
    """Rounded to 256 steps between the observed extremes; zero is one of the steps."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    zero = np.round(-low / step)
    return np.asarray((np.clip(np.round(array / step) + zero, 0, 255) - zero) * step, np.float32)


def _rounded_weights(array: Floats, steps: int, *, per_channel: bool) -> Floats:
    """Rounded to `steps` on either side of zero, with one scale per output channel or one in total."""
    largest = np.abs(array).max(0 if per_channel else None)
    step = np.where(largest > 0, largest / steps, 1.0)
    return np.asarray(np.round(array / step) * step, np.float32)


class _Seen:
    """What the sites received on calibration examples: extremes of each channel, and some rows, by tensor."""

    def __init__(self, prepared: Path, smoothing: Smoothing, assignment: Assignment) -> None:
        names = [site.tensor for site in smoothing.sites]
        model = save_beside(_showing(smoothing.proto, names), prepared, "observed.onnx")
        session = runtime.open_session(model, threads=assignment.threads)
        wanted = int(assignment.parameters["calibration_examples"])
        kept: dict[str, list[Floats]] = {name: [] for name in names}
        extremes: list[list[Floats]] = []
        for feeds in assignment.batches(wanted):
            tensors = [np.asarray(t, np.float32).reshape(-1, t.shape[-1]) for t in runtime.run(session, feeds, names)]
            extremes.append([np.stack([t.min(0), t.max(0)]) for t in tensors])
            for name, tensor in zip(names, tensors, strict=True):
                kept[name].append(_spread(tensor, SEARCH_ROWS))
        self.rows = {name: _spread(np.concatenate(parts), SEARCH_ROWS) for name, parts in kept.items()}
        columns = [np.stack(parts) for parts in zip(*extremes, strict=True)]
        self.lowest = {name: column[:, 0].min(0) for name, column in zip(names, columns, strict=True)}
        self.highest = {name: column[:, 1].max(0) for name, column in zip(names, columns, strict=True)}
        self.largest = {name: np.maximum(np.abs(self.lowest[name]), np.abs(self.highest[name])) for name in names}


def _spread(rows: Floats, count: int) -> Floats:
    """At most `count` rows, evenly spread."""
    chosen: Floats = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    return chosen


def _showing(proto: ModelProto, names: Sequence[str]) -> ModelProto:
    """A copy that also outputs the tensors `names`."""
    copied = ModelProto()
    copied.CopyFrom(proto)
    present = {output.name for output in copied.graph.output}
    copied.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in present
    )
    return copied


def _fidelity(before: Path, after: Path, assignment: Assignment) -> OutputFidelity:
    """How close two float models are: their worst output on some calibration examples."""
    sessions = [runtime.open_session(path, threads=assignment.threads) for path in (before, after)]
    outputs = [output.name for output in files.load_proto(before, weights=False).graph.output]
    meters = [OutputFidelity(name) for name in outputs]
    for feeds in assignment.batches(8):
        for meter, a, b in zip(meters, *(runtime.run(session, feeds) for session in sessions), strict=True):
            if a.dtype.kind == "f":
                meter.add(a, b)
    measured = [meter for meter in meters if meter.elements]
    return min(measured, key=lambda meter: meter.sqnr_db)


def _as_static(assignment: Assignment) -> Assignment:
    """The same assignment in the form that static quantization reads."""
    return replace(assignment, parameters={**assignment.parameters, **_STATIC})
