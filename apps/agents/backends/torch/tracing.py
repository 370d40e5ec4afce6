"""What a tracer needs: example tensors, which of their axes stay free, and positional inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.layout import FIRST, Layout
from apps.agents.measuring.engine import Array, Feeds

TRACED_ROWS = 3
SHORTEST_AXIS = 3
"""A length of 0 or 1 would be treated as a constant, and 2 as a special case by some code."""


class ByPlace(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """`model` with positional inputs and outputs, in the summary's order. Floats go in and come out as float32."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.training = False
        self.module = model.module
        self._model = model
        self._names = [spec.name for spec in model.summary.inputs]
        self._dtype = model.dtype

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = {
            name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor
            for name, tensor in zip(self._names, tensors, strict=True)
        }
        outputs = self._model.call(given)
        return tuple(output.float() if output.is_floating_point() else output for output in outputs)


def example_feeds(summary: ModelSummary, feeds: Feeds, layout: Layout = FIRST) -> dict[str, Array]:
    """`feeds` with a few rows, and without free axes so short that a tracer would treat them as constants."""
    return {spec.name: _example(feeds[spec.name], spec.shape, layout.axis(spec.name)) for spec in summary.inputs}


def example_tensors(feeds: Mapping[str, Array]) -> tuple[torch.Tensor, ...]:
    """In the summary's types: floats are not yet in the model's own type."""
    return tuple(torch.from_numpy(np.asarray(array, order="C")) for array in feeds.values())


def dynamic_shapes(summary: ModelSummary) -> tuple[tuple[dict[int, Any], ...]]:
    """Every free axis of the inputs, for the one variadic argument of `ByPlace`."""
    free = torch.export.Dim.DYNAMIC
    return (
        tuple(
            {place: free for place, axis in enumerate(spec.shape) if not isinstance(axis, int)}
            for spec in summary.inputs
        ),
    )


def _example(array: Array, shape: tuple[int | str | None, ...], examples: int | None) -> Array:
    for place, axis in enumerate(shape):
        if isinstance(axis, int):
            continue
        length = array.shape[place]
        wanted = TRACED_ROWS if place == examples else max(length, SHORTEST_AXIS)
        array = np.take(array, np.arange(wanted) % length, axis=place)
    return array
