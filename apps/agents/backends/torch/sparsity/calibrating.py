"""Runs a model on calibration examples and collects what its layers read, one stage at a time.

A stage is a block of the network (`model.layers.3`), or a single layer outside of blocks. Stages are pruned in the
order in which they compute, so each reads what the pruned stages before it give (Frantar and Alistarh 2023; Sun et
al. 2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apps.agents.backends.torch.model import TorchModel
from apps.agents.techniques.base import Assignment

Batch = Mapping[str, Tensor]
Layers = Mapping[str, nn.Module]


@dataclass
class Inputs:
    """Statistics of the inputs of a linear layer, over all tokens of all examples."""

    squares: Tensor
    """The sum of x² for each input, `[columns]`."""
    gram: Tensor | None
    """The sum of x xᵀ, `[columns, columns]`; `None` if it is not needed."""
    rows: int = 0

    def add(self, given: Tensor) -> None:
        """Add the rows of `given`, `[…, columns]`."""
        flat = given.reshape(-1, given.shape[-1]).float()
        self.rows += len(flat)
        self.squares += flat.square().sum(0)
        if self.gram is not None:
            self.gram += flat.T @ flat


def calibration_batches(assignment: Assignment, model: TorchModel) -> list[Batch]:
    """The first calibration examples as inputs of `model`; texts one at a time, without their padding."""
    if any(spec.name == "attention_mask" for spec in model.summary.inputs):
        from apps.agents.backends.torch.folder_quantization import calibration_rows  # It imports transformers.

        return list(calibration_rows(assignment))
    return [model.tensors(feeds) for feeds in assignment.batches(int(assignment.parameters["calibration_examples"]))]


class _Enough(Exception):
    """The stage's last layer has been called, so the rest of the run is not needed."""


def call_order(model: TorchModel, batch: Batch, layers: Layers) -> list[str]:
    """The names of `layers` in the order in which one run calls them, each as often as it is called."""
    order: list[str] = []
    with _hooked(layers, lambda name, given: order.append(name)), torch.inference_mode():
        model.call(batch)
    return order


def stages(order: Sequence[str]) -> list[tuple[str, ...]]:
    """The layers in groups that are pruned together, in the order in which they compute."""
    found: dict[str, dict[str, None]] = {}
    for name in order:
        found.setdefault(_block_of(name), {})[name] = None
    return [tuple(names) for names in found.values()]


def observe(
    model: TorchModel, batches: Iterable[Batch], layers: Layers, order: Sequence[str], *, whole: bool
) -> dict[str, Inputs]:
    """The inputs of `layers` on `batches`, with `whole` also their Gram matrices. Runs stop after the last layer."""
    seen = {name: _nothing(layer, whole) for name, layer in layers.items()}
    calls = [name for name in order if name in layers]
    last, often = calls[-1], Counter(calls)[calls[-1]]
    counted = 0

    def note(name: str, given: Tensor) -> None:
        nonlocal counted
        seen[name].add(given)
        counted += name == last
        if counted == often:
            raise _Enough

    with _hooked(layers, note), torch.inference_mode():
        for batch in batches:
            counted = 0
            try:
                model.call(batch)
            except _Enough:
                continue
    return seen


def _nothing(layer: nn.Module, whole: bool) -> Inputs:
    columns = int(layer.weight.shape[1])
    return Inputs(torch.zeros(columns), torch.zeros(columns, columns) if whole else None)


def _block_of(name: str) -> str:
    """The name up to its first number. A layer without a number is a block of its own."""
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[: number + 1])


@contextmanager
def _hooked(layers: Layers, note: Callable[[str, Tensor], Any]) -> Iterator[None]:
    """`note` gets each layer's name and input before it computes."""

    def hook(name: str) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            note(name, args[0] if args else kwargs["input"])

        return before

    handles = [layer.register_forward_pre_hook(hook(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
