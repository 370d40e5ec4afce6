"""What models compute between input and output: hidden states and attention maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from apps.agents.backends.torch.distillation.projections import Projections
from apps.agents.backends.torch.model import TorchModel, outputs_of

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Inside:
    """Of one batch. Positions of padding are 0."""

    outputs: list[torch.Tensor]
    """In the summary's order."""
    hidden: list[torch.Tensor]
    """From the input to the output; the last one is what the head reads."""
    attention: list[torch.Tensor]
    """Probabilities [examples, heads, queries, keys]."""


class Reader(Protocol):
    @property
    def axes(self) -> Sequence[int]:
        """The axis of channels of each hidden state."""

    def __call__(self, model: TorchModel, module: nn.Module, tensors: Tensors) -> Inside:
        """One inference of `model`, whose parts are found in `module`."""


@dataclass
class Observed(TorchModel):
    """A model whose call gives its outputs, then the hidden states, then the attention maps that `reader` reads."""

    inner: nn.Module | None = None
    """The module that the reader knows."""
    reader: Reader | None = None
    projections: Projections | None = None

    def call(self, tensors: Tensors) -> list[torch.Tensor]:
        if self.reader is None or self.inner is None:
            return super().call(tensors)
        found = self.reader(self, self.inner, tensors)
        hidden = found.hidden if self.projections is None else self.projections(found.hidden)
        return [*found.outputs, *hidden, *found.attention]


@dataclass(frozen=True)
class LayerInputs:
    """Reads what layers of a program get, by their names."""

    names: tuple[str, ...]
    axes: tuple[int, ...]

    def __call__(self, model: TorchModel, module: nn.Module, tensors: Tensors) -> Inside:
        found: dict[str, torch.Tensor] = {}

        def keeper(name: str) -> object:
            return lambda _layer, given: found.__setitem__(name, given[0])

        hooks = [module.get_submodule(name).register_forward_pre_hook(keeper(name)) for name in self.names]
        try:
            outputs = TorchModel.call(model, tensors)
        finally:
            for hook in hooks:
                hook.remove()
        return Inside(outputs, [found[name] for name in self.names], [])


@dataclass(frozen=True)
class LayerStates:
    """Reads what the layers with these numbers, counted from 1, of a transformers model give."""

    layers: tuple[int, ...]
    attention: bool = False

    @property
    def axes(self) -> tuple[int, ...]:
        return (-1,) * len(self.layers)

    def __call__(self, model: TorchModel, module: nn.Module, tensors: Tensors) -> Inside:
        given = {spec.name: tensors[spec.name] for spec in model.summary.inputs}
        result = model.module(**given, output_hidden_states=True, output_attentions=self.attention)
        outputs = outputs_of(result, [spec.name for spec in model.summary.outputs])
        mask = given.get("attention_mask")
        hidden = [_without_padding(result.hidden_states[number], mask, 1) for number in self.layers]
        maps = [result.attentions[number - 1] for number in self.layers] if self.attention else []
        return Inside(outputs, hidden, [_without_padding(one, mask, 2) for one in maps])


def _without_padding(values: torch.Tensor, mask: torch.Tensor | None, axis: int) -> torch.Tensor:
    """`values` with 0 where the mask [examples, positions] is 0; positions are at this axis of the values."""
    if mask is None:
        return values
    shape = [1] * values.ndim
    shape[0], shape[axis] = mask.shape
    return values * mask.to(values.dtype).reshape(shape)
