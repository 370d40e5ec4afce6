"""An opened model as a module that can be trained and saved again in its own format.

State dicts and transformers folders already are modules. An exported program is a graph of operators over parameters:
its layers are built again (`apps.agents.backends.torch.rebuilding`), so that batch norms learn. It does not contain
dropout any more, and everything that is not rebuilt computes as it was exported. A TorchScript program is trained in
evaluation mode, and its norms keep their statistics: what its code does in training mode cannot be seen from outside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from apps.agents.backends.torch.exported import ByPlace
from apps.agents.backends.torch.half import Border
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.rebuilding import rebuilt
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.errors.training import ModelNotTrainable
from apps.agents.contracts.formats import Format
from apps.agents.measuring.engine import Feeds

SAME = 1e-5
"""The largest difference, as a share of the output's largest number: the same kernels run on the same weights."""


class Named(Border):
    """A program with the names of its model's inputs and outputs; its parts keep their own names."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__(model, torch.float32)
        inner = model.module
        self._parameters, self._buffers, self._modules = inner._parameters, inner._buffers, inner._modules


def trainable(model: TorchModel, label: str) -> TorchModel:
    """`model` with a module whose parameters can be trained. `label` is the technique's, for errors.

    Raises `ModelNotTrainable` if it is quantized, or if its weights are half precision or not floats at all.
    """
    if model.summary.quantization:
        reason = f"its weights are packed ({model.summary.quantization})"
        raise ModelNotTrainable(technique=label, reason=reason)
    if model.format is Format.TORCH_EXPORT:
        model = replace(model, module=_rebuilt(model.module))
    floats = [weight for weight in model.module.parameters() if weight.is_floating_point()]
    if not floats:
        raise ModelNotTrainable(technique=label, reason="it has no float parameters")
    if narrow := {str(weight.dtype)[6:] for weight in floats} - {"float32", "float64"}:
        reason = f"its weights are {' and '.join(sorted(narrow))}, too coarse for small steps; start from float32"
        raise ModelNotTrainable(technique=label, reason=reason)
    for weight in floats:
        weight.requires_grad_(True)
    return model


def check_same(before: TorchModel, after: TorchModel, feeds: Feeds, label: str) -> None:
    """Raises `TechniqueInvalidOutput` if the rebuilt layers of `after` give other outputs than `before`."""
    for name, wanted, given in zip(before.summary.outputs, before.run(feeds), after.run(feeds), strict=True):
        largest = float(np.abs(wanted.astype(np.float64)).max(initial=0.0))
        if not np.allclose(given, wanted, rtol=0, atol=SAME * max(largest, 1e-3), equal_nan=True):
            reason = f"its layers, rebuilt as modules, give a different output {name.name!r}"
            raise TechniqueInvalidOutput(technique=label, reason=reason)


def to_save(model: TorchModel) -> TorchModel:
    """`model`, trained or pruned, ready for `save_model`: with the names that its inputs and outputs had."""
    model.module.eval()
    if model.format is not Format.TORCH_EXPORT:
        return model
    return replace(model, module=Named(model))


def set_training(model: TorchModel, *, learn_statistics: bool, dropout: bool = True) -> None:
    """Training mode, if the module has one that can be trusted; for batch norms only with `learn_statistics`."""
    if model.format is Format.TORCHSCRIPT:
        model.module.eval()
        return
    model.module.train(dropout)
    for part in model.module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.train(learn_statistics)


def _rebuilt(module: torch.nn.Module) -> torch.nn.Module:
    if isinstance(module, ByPlace):
        inner = rebuilt(module.program)
        return ByPlace(inner, module.placed, module.names, module.types)
    return rebuilt(module)
