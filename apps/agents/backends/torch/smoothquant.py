"""SmoothQuant for transformers folders: linear layers in W8A8 after outliers were moved from norms into them.

`apps.agents.backends.torch.smoothing` describes the smoothing. Weights get a scale for each output channel, activations
one for each token at run time (Xiao et al. 2023, https://arxiv.org/abs/2211.10438, its setting O1). How far the
difficulty is moved (α) is searched for each model on calibration examples.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from llmcompressor.modifiers.quantization import QuantizationModifier

from apps.agents.backends.torch.compressed import compress
from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import (
    FolderQuantization,
    Rows,
    calibration_rows,
    kept_names,
    left_out,
    library_at_work,
)
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import pack_folder
from apps.agents.backends.torch.smoothing import SAME, best_alpha, find_sites, largest_change, observe
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueNotApplicable
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment

ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))
"""Values of the search: 0 leaves all the difficulty to the activations, 1 moves all of it into the weights."""
SEARCH_ROWS = 512
"""Tokens of each norm that the search uses."""


class SmoothQuant(FolderQuantization):
    """Smoothing, then 8 bits for weights and activations; stored as compressed-tensors."""

    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        return rows * columns + rows * self._stored_bits // 8

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        model = load_model(self.folder.path, assignment.scratch)
        self._smoothing_note = "Nothing was smoothed."
        if assignment.parameters["smoothing"]:
            context.progress(0.1, "moving outliers into the weights")
            rows, alpha = calibration_rows(assignment), float(assignment.parameters["alpha"])
            self._smoothing_note = smooth(model, rows, alpha, assignment.spec.label)
        with (
            tempfile.TemporaryDirectory(dir=assignment.scratch, prefix="smoothquant-") as folder,
            library_at_work(assignment.spec.label, assignment.seed),
        ):
            context.progress(0.6, "rounding")
            compress(model.module, [QuantizationModifier(**self._scheme(assignment))], [])
            context.progress(0.9, "writing")
            model.module.save_pretrained(folder, save_compressed=True)
            (Path(folder) / "recipe.yaml").unlink(missing_ok=True)  # The library's own notes.
            return Applied(pack_folder(Path(folder), self.folder.path, assignment.out))

    def _scheme(self, assignment: Assignment) -> dict[str, Any]:
        weights = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel")
        activations = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
        scheme = QuantizationScheme(targets=["Linear"], weights=weights, input_activations=activations)
        return {
            "config_groups": {"group_0": scheme},
            "ignore": left_out(self.folder.outline, kept_names(assignment)),
        }

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        return f"{super().effect(assignment, before, after)} {self._smoothing_note}"


def smooth(model: TorchModel, rows: Rows, alpha: float, label: str) -> str:
    """Smooth every norm of `model` that can be smoothed, in place. Returns a sentence on the effect before any
    rounding.

    A negative `alpha` is searched for. Raises `TechniqueNotApplicable` if no norm's output feeds only linear layers,
    and `TechniqueInvalidOutput` if the model's outputs change.
    """
    sites = find_sites(model, rows[0])
    if not sites:
        reason = (
            "none of its norms is read only by linear layers, as in models that normalize after adding; export it to "
            "ONNX, where the division can be a separate operator"
        )
        raise TechniqueNotApplicable(technique=label, reason=reason)
    observe(model, sites, rows, SEARCH_ROWS)
    if alpha < 0:
        alpha = best_alpha(sites, ALPHAS)
    with torch.inference_mode():
        reference = model.call(rows[0])
    for site in sites:
        site.smooth(site.scale(alpha))
    with torch.inference_mode():
        change = largest_change(reference, model.call(rows[0]))
    if change > SAME:
        reason = f"smoothing alone changes the outputs by {change:.2g} of their largest value"
        raise TechniqueInvalidOutput(technique=label, reason=reason)
    return (
        f"Outliers of {len(sites)} norms were moved into the weights with alpha {alpha:g}. Before any rounding, that "
        f"changes the outputs by at most {change:.1g} of their largest value."
    )
