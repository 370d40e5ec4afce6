"""Selects the layers to prune, and checks their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from apps.agents.backends.torch.checkpoints import named
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pretrained import is_pretrained
from apps.agents.contracts.errors.techniques import TechniqueNothingToPrune, TechniqueParameters, TechniquePattern

KERNELS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layers_of(model: TorchModel, kept: Sequence[str], label: str, *, kernels: bool) -> dict[str, nn.Module]:
    """The linear layers by name, with `kernels` also convolutions, except everything at or below a `kept` name.

    In a transformers model, only those of its base: neither the output head nor a classifier. Raises
    `TechniqueParameters` for an unknown name, and `TechniqueNothingToPrune` if no layer remains.
    """
    known = dict(model.module.named_modules())
    if unknown := [name for name in kept if name not in known]:
        raise TechniqueParameters(reason=f"the model does not have the modules {named(unknown)} to keep dense")
    if is_pretrained(model.module):
        from apps.agents.backends.torch.folder_quantization import quantizable  # It imports transformers.

        found: Mapping[str, nn.Module] = quantizable(model.module, list(kept))
    else:
        kinds = (nn.Linear, *KERNELS) if kernels else (nn.Linear,)
        found = {name: part for name, part in known.items() if type(part) in kinds and not _within(name, kept)}
    if not found:
        raise TechniqueNothingToPrune(technique=label, reason="it has no linear layer that may become sparse")
    return dict(found)


def require_whole_groups(layers: Mapping[str, nn.Module], group: int | None, label: str) -> None:
    """Raise `TechniquePattern` for the first layer whose rows cannot be divided into groups."""
    for name, layer in layers.items():
        columns = layer.weight[0].numel()
        if group is not None and columns % group:
            raise TechniquePattern(technique=label, layer=name, columns=columns, group=group, kept=group // 2)


def _within(name: str, kept: Sequence[str]) -> bool:
    return any(name == start or name.startswith(f"{start}.") for start in kept)
