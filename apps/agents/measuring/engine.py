"""What an evaluation needs of a model's runtime, whichever it is, and how examples are passed through it.

An engine is a backend class, imported by dotted path in the child: `contracts.formats` names one for each format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import format_spec
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.contracts.text import TextEncoder
from apps.agents.datasets.layout import FIRST, Layout
from apps.agents.measuring.operator_times import OperatorTimes

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]
Outputs = list[Array]
Run = Callable[[Feeds], Outputs]
"""One inference of a batch: all outputs in the model's order."""
Axes = Sequence[int | None]
"""Of the examples in each output; `WHOLE` where a batch of one gives the entry itself, without an axis; `None` for an
output that has no entries by example."""
WHOLE = -1


class Engine(Protocol):
    """One model, opened for measuring."""

    @property
    def summary(self) -> ModelSummary:
        """The model as inspection sees it, its size unpacked. Read without loading the model."""
        ...

    @property
    def encoder(self) -> TextEncoder | None:
        """The tokenizer that came with the model. Read without loading the model."""
        ...

    def session(self, target: Target) -> Run:
        """A session of its own, with the target's device and threads. Every call makes another."""
        ...

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        """What loading the model and running `feeds` adds to a process of its own at its peak."""
        ...

    def profile(self, feeds: Feeds, target: Target, runs: int) -> OperatorTimes | None:
        """What each operator takes, over so many `runs`; `None` where the runtime times none that could be read.

        Raises what a session of the model does.
        """
        ...


def open_engine(
    format: str,  # noqa: A002 - the contract's word
    model: Path,
    scratch: Path,
    signature: str | None = None,
) -> Engine:
    """The engine of the model file at `model`; what has to be unpacked goes under `scratch`.

    `signature` is the function that is meant, where the format has room for several.
    """
    module, _, name = format_spec(format).engine.partition(":")
    return cast(Engine, getattr(import_module(module), name)(model, scratch, **signed(signature)))


def signed(signature: str | None) -> dict[str, str]:
    """The argument that names a signature; backends whose formats have none do not know it."""
    return {} if signature is None else {"signature": signature}


def fixed_batch(inputs: tuple[TensorSpec, ...], layout: Layout = FIRST) -> int | None:
    """The batch size that the model was exported with; `None` where its batch axis is dynamic."""
    return layout.fixed_batch(inputs)


def run_portions(
    run: Run, feeds: Feeds, batch: int | None, layout: Layout = FIRST, axes: Axes | None = None
) -> list[Array | None]:
    """The outputs for every example of `feeds`, first axis the examples; `None` for one that has no such axis.

    With a `batch` the model gets portions of that size; the last one is filled up with repeated examples, whose outputs
    are dropped. `axes` are those of the examples in the outputs, the first ones unless given.
    """
    examples = layout.rows(feeds)
    if batch is None:
        return [_by_example(output, axis, examples) for output, axis in _with_axes(run(feeds), axes)]
    portions = [_portion(run, feeds, start, batch, layout, axes) for start in range(0, examples, batch)]
    joined: list[Array | None] = []
    for parts in zip(*portions, strict=True):
        whole = [part for part in parts if part is not None]
        joined.append(np.concatenate(whole) if len(whole) == len(parts) and _joinable(whole) else None)
    return joined


def _portion(run: Run, feeds: Feeds, start: int, batch: int, layout: Layout, axes: Axes | None) -> list[Array | None]:
    examples = layout.rows(feeds)
    chosen = np.minimum(np.arange(start, start + batch), examples - 1)
    kept = min(batch, examples - start)
    outputs = [_by_example(output, axis, batch) for output, axis in _with_axes(run(layout.take(feeds, chosen)), axes)]
    return [None if output is None else output[:kept] for output in outputs]


def _with_axes(outputs: Outputs, axes: Axes | None) -> Iterator[tuple[Array, int | None]]:
    return zip(outputs, axes or (0,) * len(outputs), strict=True)


def _by_example(output: Array, axis: int | None, examples: int) -> Array | None:
    if axis == WHOLE and examples == 1:
        return output[np.newaxis]
    if axis is None or axis >= output.ndim or output.shape[axis] != examples:
        return None
    return np.moveaxis(output, axis, 0)


def _joinable(parts: Sequence[Array]) -> bool:
    return len({part.shape[1:] for part in parts}) == 1
