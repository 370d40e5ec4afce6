"""An opened PyTorch model of any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apps.agents.backends.torch.returned import has_names, tensors_in
from apps.agents.contracts.errors.torch_models import OutputsReturned
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.text import TextEncoder
from apps.agents.measuring.engine import Feeds, Outputs

Array = NDArray[np.generic]


@dataclass
class TorchModel:
    """`module` takes the summary's inputs and returns its outputs, both by name and in that order."""

    module: torch.nn.Module
    """In evaluation mode. A scripted or exported program is also a module, but its parts may not be replaceable."""
    format: Format
    summary: ModelSummary
    folder: Path
    """The opened files: `config.json` and the rest of a transformers folder, or the folder of the single file."""
    encoder: TextEncoder | None = None
    positional: bool = False
    """Whether inputs are positional: scripted and exported programs do not always keep their names."""

    def call(self, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """One inference, all outputs in the summary's order. Differentiable: wrap it in `torch.inference_mode()`."""
        names = [spec.name for spec in self.summary.inputs]
        if self.positional:
            result = self.module(*(tensors[name] for name in names))
        else:
            result = self.module(**{name: tensors[name] for name in names})
        return outputs_of(result, [spec.name for spec in self.summary.outputs])

    def run(self, feeds: Feeds, device: str = "cpu") -> Outputs:
        """The same from and to arrays. Types narrower than float32 stay inside: floats go in and come out as float32.

        So a half-precision model can replace the original.
        """
        with torch.inference_mode():
            outputs = self.call(self.tensors(feeds, device))
        return [_array(output) for output in outputs]

    def tensors(self, feeds: Feeds, device: str = "cpu") -> dict[str, torch.Tensor]:
        """The inputs of `call` from arrays: floats in the model's own type, or as an exported program declares them."""
        floats = dict.fromkeys(feeds, self.dtype)
        if self.format is Format.TORCH_EXPORT:
            floats = {spec.name: getattr(torch, spec.dtype, self.dtype) for spec in self.summary.inputs}
        tensors = {name: torch.from_numpy(np.asarray(array, order="C")).to(device) for name, array in feeds.items()}
        return {
            name: tensor.to(floats[name]) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in, from its floating-point weights; float32 if it has none."""
        floating = (weight.dtype for weight in self.module.parameters() if weight.is_floating_point())
        return next(floating, torch.float32)


def outputs_of(result: object, names: Sequence[str]) -> list[torch.Tensor]:
    """The tensors `names` in what a module returned; by position if that has no names.

    Raises `OutputsReturned` if it returned others.
    """
    found = tensors_in(result)
    if all(name in found for name in names):
        return [found[name] for name in names]
    if has_names(result) or len(found) < len(names):
        raise OutputsReturned(wanted=", ".join(names), found=", ".join(found) or type(result).__name__)
    return list(found.values())[: len(names)]


def _array(tensor: torch.Tensor) -> Array:
    plain = tensor.detach().cpu()
    array: Array = (plain.float() if plain.is_floating_point() else plain).numpy()
    return array
