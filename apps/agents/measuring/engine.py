"""What an evaluation needs from any model's runtime, and how examples are passed through it.

An engine is a backend class that the child imports by dotted path; `contracts.formats` names one for each format.
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
"""One inference of a batch: all outputs, in the model's order."""
Axes = Sequence[int | None]
"""The batch axis of each output. `WHOLE`: a batch of one returns the entry itself, without an axis. `None`: the output
has no entry per example."""
WHOLE = -1


class Engine(Protocol):
    """One model, opened for measuring."""

    @property
    def summary(self) -> ModelSummary:
        """The model as inspection reports it, with its unpacked size. Does not load the model."""
        ...

    @property
    def encoder(self) -> TextEncoder | None:
        """The tokenizer that came with the model. Does not load the model."""
        ...

    def session(self, target: Target) -> Run:
        """A separate session with the target's device and threads. Every call creates a new one."""
        ...

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        """Peak bytes that loading the model and running `feeds` add to a separate process."""
        ...

    def profile(self, feeds: Feeds, target: Target, runs: int) -> OperatorTimes | None:
        """The time of each operator, over `runs` runs; `None` if the runtime does not time operators in a readable
        form.

        Raises the errors of a session of the model.
        """
        ...


def open_engine(
    format: str,  # noqa: A002 - the contract's word
    model: Path,
    scratch: Path,
    signature: str | None = None,
) -> Engine:
    """The engine of the model file at `model`. Unpacked files are written under `scratch`.

    `signature` selects the function, if the format can contain several.
    """
    module, _, name = format_spec(format).engine.partition(":")
    return cast(Engine, getattr(import_module(module), name)(model, scratch, **signed(signature)))


def signed(signature: str | None) -> dict[str, str]:
    """The argument that names a signature. Backends whose formats have no signatures do not accept it."""
    return {} if signature is None else {"signature": signature}


def fixed_batch(inputs: tuple[TensorSpec, ...], layout: Layout = FIRST) -> int | None:
    """The batch size that the model was exported with; `None` if its batch axis is dynamic."""
    return layout.fixed_batch(inputs)


def run_portions(
    run: Run, feeds: Feeds, batch: int | None, layout: Layout = FIRST, axes: Axes | None = None
) -> list[Array | None]:
    """The outputs for every example of `feeds`, with the examples on the first axis; `None` for an output without them.

    With a `batch`, the model receives portions of that size. The last one is filled with repeated examples, whose
    outputs are dropped. `axes` are the outputs' batch axes, by default the first.
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
