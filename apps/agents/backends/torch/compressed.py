"""llm-compressor: AWQ, GPTQ and plain rounding, stored as compressed-tensors that vLLM and transformers load.

Weights are integers in groups along a row, each group with a scale (and a zero point if the grid is asymmetric).
"""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.utils import patch_attr
from llmcompressor import oneshot
from llmcompressor.modifiers import Modifier
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from loguru import logger
from torch import nn
from torch.utils.data import DataLoader
from transformers import CompressedTensorsConfig, PreTrainedModel

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import (
    FolderQuantization,
    Rows,
    calibration_rows,
    kept_names,
    left_out,
    library_at_work,
    require_whole_groups,
)
from apps.agents.backends.torch.saving import pack_folder
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.library_calls import quiet

_WORD_BITS = 32
"""Weights and zero points are packed into int32."""
_SHAPE_BYTES = 2 * 8
"""Each layer stores its shape, two int64."""
_NO_TOKENIZER = object()
"""Passed where the library expects a tokenizer for texts. The rows are already tokens."""

for _library in ("llmcompressor", "compressed_tensors"):
    logger.disable(_library)


class CompressedTensors(FolderQuantization):
    """A recipe of llm-compressor, applied in one pass over the calibration rows."""

    calibrated: ClassVar[bool] = True

    @abstractmethod
    def recipe(self, scheme: dict[str, Any]) -> list[Modifier]:
        """The steps, in order. `scheme` defines which layers are rounded and how."""

    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        bits, group = int(assignment.parameters["bits"]), int(assignment.parameters["group_size"])
        groups = columns // group
        scales = rows * groups * self._stored_bits // 8
        zero_points = 0 if assignment.parameters["symmetric"] else _words(rows, bits) * groups
        return rows * _words(columns, bits) + scales + zero_points + _SHAPE_BYTES

    def check(self, assignment: Assignment, context: Context) -> None:
        super().check(assignment, context)
        spec, size = assignment.spec, int(assignment.parameters["group_size"])
        choices = next(parameter.choices for parameter in spec.parameters if parameter.name == "group_size")
        require_whole_groups(spec.label, self.layers(assignment), size, choices)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        rows = calibration_rows(assignment) if self.calibrated else []
        with (
            tempfile.TemporaryDirectory(dir=assignment.scratch, prefix="compressed-") as kept,
            library_at_work(assignment.spec.label, assignment.seed),
        ):
            context.progress(0.1, f"passing {len(rows)} rows through" if rows else "rounding")
            model = self.folder.load()
            compress(model, self.recipe(self.scheme(assignment)), rows)
            context.progress(0.9, "writing")
            model.save_pretrained(kept, save_compressed=True)
            (Path(kept) / "recipe.yaml").unlink(missing_ok=True)  # The library's own notes.
            return Applied(pack_folder(Path(kept), self.folder.path, assignment.out))

    def scheme(self, assignment: Assignment) -> dict[str, Any]:
        """The modifiers' arguments that define which layers are rounded and how."""
        chosen = assignment.parameters
        weights = QuantizationArgs(
            num_bits=int(chosen["bits"]),
            type="int",
            symmetric=chosen["symmetric"],
            strategy="group",
            group_size=int(chosen["group_size"]),
        )
        groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
        return {"config_groups": groups, "ignore": left_out(self.folder.outline, kept_names(assignment))}


class ActivationAware(CompressedTensors):
    """AWQ: channels with large activations are scaled up before rounding, and down in the layer before.

    Lin et al. 2024, https://arxiv.org/abs/2306.00978.
    """

    def recipe(self, scheme: dict[str, Any]) -> list[Modifier]:
        return [AWQModifier(), QuantizationModifier(**scheme)]


class SecondOrder(CompressedTensors):
    """GPTQ: columns are rounded one by one, and the following ones compensate the error, using the inputs' Hessian.

    The columns with the largest inputs come first. Frantar et al. 2023, https://arxiv.org/abs/2210.17323.
    """

    def recipe(self, scheme: dict[str, Any]) -> list[Modifier]:
        return [GPTQModifier(**scheme)]


class RoundToNearest(CompressedTensors):
    """Each weight becomes the nearest value of its group's grid. Needs no calibration data."""

    calibrated = False

    def recipe(self, scheme: dict[str, Any]) -> list[Modifier]:
        return [QuantizationModifier(**scheme)]


def compress(model: PreTrainedModel, recipe: Sequence[Modifier], rows: Rows) -> None:
    """Apply `recipe` to `model`, in place, with `rows` for calibration if there are any."""
    data = {"dataset": _loader(rows), "num_calibration_samples": len(rows)} if rows else {}
    with _pinning():
        oneshot(model=model, processor=_NO_TOKENIZER, recipe=list(recipe), **data)


def load(folder: TransformersFolder, device: str) -> PreTrainedModel:
    """The model with its weights as floats, the same numbers that the packed layers compute with.

    transformers has no kernels for the packed weights either: it would unpack them in the first run. Layers with only
    quantized weights become plain linear layers. Activations are rounded according to the configuration.
    """
    with quiet():
        model = folder.load_as_stored(device, quantization_config=CompressedTensorsConfig(dequantize=True))
    for module in model.modules():
        scheme = getattr(module, "quantization_scheme", None)
        if isinstance(module, nn.Linear) and scheme and not (scheme.input_activations or scheme.output_activations):
            _make_plain(module)
    return model


def _make_plain(linear: nn.Linear) -> None:
    """Remove the library's attributes from a layer whose weight is a float again."""
    vars(linear).pop("forward", None)
    for name in ("quantization_scheme", "quantization_status"):
        vars(linear).pop(name, None)
    for name in [
        name for name, _ in (*linear.named_parameters(), *linear.named_buffers()) if name.startswith("weight_")
    ]:
        delattr(linear, name)


def _loader(rows: Rows) -> DataLoader[Any]:
    return DataLoader(rows, batch_size=None)


def _pinning() -> AbstractContextManager[Any]:
    """Disable pinning: AWQ pins its inputs for copying to an accelerator, which fails without one."""
    if torch.accelerator.is_available():
        return nullcontext()
    stay: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    context: AbstractContextManager[Any] = patch_attr(IntermediatesCache, "pin_memory", stay)
    return context


def _words(numbers: int, bits: int) -> int:
    """Bytes of `numbers` packed numbers: whole words."""
    return -(-numbers * bits // _WORD_BITS) * _WORD_BITS // 8
