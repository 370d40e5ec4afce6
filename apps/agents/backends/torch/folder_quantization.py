"""Shared by the quantizers of transformers folders: which layers, their size, and the checks of a result.

They quantize the linear layers of the base model. The rest deliberately stays: the embedding table, the output head
(which often is that table), a classifier, and the layers that are named to stay in float.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from apps.agents.backends.torch import quantized, stored
from apps.agents.backends.torch.checkpoints import named
from apps.agents.backends.torch.opening import open_model
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueNotApplicable, TechniqueParameters
from apps.agents.contracts.number_types import BITS
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques import library_calls
from apps.agents.techniques.base import Assignment, Coverage, Estimated, QuantizationAgent

SHARE_OF_THE_GAIN = 0.95
"""The quantized layers may take at most 1/0.95 of the size that their bits allow."""
CALIBRATION_TOKENS = 2048
"""Longest calibration row: attention's memory grows with the square of the length."""

Rows = list[dict[str, Tensor]]
"""Calibration examples, one at a time, `[1, tokens]`, without padding."""


class FolderQuantization(QuantizationAgent):
    """A quantization of the linear layers of the transformers model in `self.folder`."""

    folder: TransformersFolder

    @abstractmethod
    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        """Size on disk of a layer's weight `[rows, columns]`, including its scales, zero points and tables."""

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also opens the folder. Raises `TechniqueNotApplicable`, and `TechniqueParameters` for unknown names."""
        super().check(assignment, context)
        self.folder = TransformersFolder(open_model(assignment.model, assignment.scratch).path)
        if found := quantized.describe(self.folder.settings):
            reason = f"it is already quantized ({found}); start from the float model"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        known = {name for name, _ in self.folder.outline.named_modules()}
        if unknown := [name for name in kept_names(assignment) if name not in known]:
            reason = f"the model does not have the modules {named(unknown)} to keep in float"
            raise TechniqueParameters(reason=reason, field="parameters")

    # --- sizes ------------------------------------------------------------------------------------------------------

    def layers(self, assignment: Assignment) -> dict[str, nn.Linear]:
        """The layers to quantize, by name, without their numbers."""
        return quantizable(self.folder.outline, kept_names(assignment))

    def layer_bytes(self, assignment: Assignment) -> int:
        """Size on disk of the weights of `layers`."""
        layers = self.layers(assignment).values()
        return sum(self.packed_bytes(assignment, layer.out_features, layer.in_features) for layer in layers)

    def coverage(self, assignment: Assignment) -> Coverage:
        weights = sum(layer.weight.numel() for layer in self.layers(assignment).values())
        whole = sum(count * BITS.get(dtype, 0) for dtype, count in self.folder.summary.weight_dtypes.items()) // 8
        bits = 8 * self.layer_bytes(assignment) / max(1, weights)
        return Coverage(weights * self._stored_bits // 8, whole, bits)

    def estimate(self, assignment: Assignment) -> Estimated:
        """The size that the bits allow, for any float type in which the model is stored."""
        found = self.coverage(assignment)
        if not found.covered_bytes:
            reason = "it has no linear layer to quantize: the output head and the layers named to stay are not changed"
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        size_bytes = self.folder.summary.size_bytes
        left = size_bytes - found.covered_bytes + self.layer_bytes(assignment)
        share = found.covered_bytes / max(1, found.weight_bytes)
        basis = f"{share:.0%} of the weights can be stored in {found.bits:.3g} bits instead of {self._stored_bits}"
        return Estimated(size_bytes / left, basis)

    @property
    def _stored_bits(self) -> int:
        """Bits of most of the model's stored weights."""
        counts = self.folder.summary.weight_dtypes
        return BITS.get(max(counts, key=lambda dtype: counts[dtype]), 32)

    # --- checks of a result -----------------------------------------------------------------------------------------

    def validate(self, assignment: Assignment, artifact: Path) -> tuple[tuple[str, ...], ModelSummary]:
        """Also checks that the layers take the size that their bits allow, and reports weights left in float."""
        checks, after = super().validate(assignment, artifact)
        made = TransformersFolder(open_model(artifact, assignment.scratch).path)
        weights = stored.read_weights(made.weight_files)
        return (*checks, self._size_sentence(assignment, weights), *self._float_sentences(assignment, weights)), after

    def _size_sentence(self, assignment: Assignment, weights: stored.Weights) -> str:
        layers = self.layers(assignment)
        allowed, taken = self.layer_bytes(assignment), bytes_of(layers, weights)
        bits = self.coverage(assignment).bits
        words = f"The {len(layers)} quantized layers take {taken:,} bytes on disk"
        if allowed < SHARE_OF_THE_GAIN * taken:
            reason = f"{words}, and {bits:.3g} bits a weight allow {allowed:,}".replace("The", "its", 1)
            raise TechniqueInvalidOutput(technique=assignment.spec.label, reason=reason)
        return f"{words}; {bits:.3g} bits a weight, scales included, allow {allowed:,}."

    def _float_sentences(self, assignment: Assignment, weights: stored.Weights) -> tuple[str, ...]:
        sentences = [*_table_sentence(self.folder.outline, weights)]
        if kept := kept_names(assignment):
            sentences.append(f"As requested, {named(kept)} and everything in it stayed in float.")
        return tuple(sentences)


# --- layers ---------------------------------------------------------------------------------------------------------


def kept_names(assignment: Assignment) -> list[str]:
    """Names of the modules that stay in float, with everything in them."""
    return [str(name) for name in assignment.parameters.get("keep_float_nodes", ())]


def quantizable(model: PreTrainedModel, kept: list[str]) -> dict[str, nn.Linear]:
    """The linear layers of the base model by name, except the output head and everything at or below a `kept` name."""
    inside = {id(module) for module in model.base_model.modules()}
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        # Subclasses use their weight for something other than a plain matrix product.
        if type(module) is nn.Linear
        and id(module) in inside
        and module is not head
        and not any(name == start or name.startswith(f"{start}.") for start in kept)
    }


def left_out(model: PreTrainedModel, kept: list[str]) -> list[str]:
    """The other linear layers, by name, for libraries that need the layers to skip."""
    chosen = quantizable(model, kept)
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name not in chosen]


def require_whole_groups(
    label: str, layers: Mapping[str, nn.Linear], group_size: int, choices: tuple[int, ...]
) -> None:
    """Raise `TechniqueNotApplicable` with the layer and what would fit, if groups do not divide the rows."""
    for name, layer in layers.items():
        if layer.in_features % group_size:
            fitting = [size for size in choices if all(each.in_features % size == 0 for each in layers.values())]
            instead = f"groups of {' or '.join(map(str, fitting))} fit all layers" if fitting else "no group size fits"
            reason = (
                f"groups of {group_size} do not divide the rows of {name}, which have {layer.in_features} weights; "
                f"{instead}"
            )
            raise TechniqueNotApplicable(technique=label, reason=reason)


# --- results --------------------------------------------------------------------------------------------------------


def bytes_of(layers: Mapping[str, nn.Linear], weights: stored.Weights) -> int:
    """Stored bytes of `layers`, without biases."""
    total = 0
    for name, tensor in weights.items():
        layer, _, part = _split(name, layers)
        if layer and part != "bias":
            total += tensor.elements * BITS[tensor.dtype] // 8
    return total


def _split(name: str, layers: Mapping[str, nn.Linear]) -> tuple[str, str, str]:
    """The layer that a stored tensor belongs to; empty if none."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        if (layer := ".".join(parts[:cut])) in layers:
            return layer, ".", ".".join(parts[cut:])
    return "", "", name


def _table_sentence(outline: PreTrainedModel, weights: stored.Weights) -> Iterator[str]:
    """The stored types of the token table and the output head."""
    table, head = outline.get_input_embeddings(), outline.get_output_embeddings()
    names = {id(module): name for name, module in outline.named_modules()}
    entry = weights.get(f"{names.get(id(table))}.weight")
    if entry is None:
        return
    tied = bool(head is not None and outline.config.tie_word_embeddings)
    suffix = ", tied to the output head" if tied else ""
    yield f"The embedding table ({entry.elements:,} weights{suffix}) stays in {entry.dtype}."
    own = weights.get(f"{names.get(id(head))}.weight") if head is not None and not tied else None
    if own is not None:
        yield f"The output head ({own.elements:,} weights) stays in {own.dtype}."


# --- libraries ------------------------------------------------------------------------------------------------------


def calibration_rows(assignment: Assignment) -> Rows:
    """The first calibration examples as the model's inputs, each without its padding."""
    wanted = int(assignment.parameters["calibration_examples"])
    rows = (
        {name: torch.from_numpy(array[index : index + 1].copy()) for name, array in feeds.items()}
        for feeds in assignment.batches(wanted, batch=1)
        for index in range(len(next(iter(feeds.values()))))
    )
    return [_without_padding(row) for row, _ in zip(rows, range(wanted), strict=False)]


def _without_padding(row: dict[str, Tensor]) -> dict[str, Tensor]:
    mask = row.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return row
    columns = mask[0].bool().nonzero()[:CALIBRATION_TOKENS, 0]
    return {name: tensor[:, columns] if tensor.shape == mask.shape else tensor for name, tensor in row.items()}


@contextlib.contextmanager
def library_at_work(label: str, seed: int) -> Iterator[None]:
    """A seeded, quiet library. Its exceptions become `TechniqueLibraryFailed`, with its own message."""
    torch.manual_seed(seed)
    with library_calls.library_at_work(label, out_of_memory=(torch.OutOfMemoryError,)):
        yield
