"""What an evaluation needs of a model's runtime, whichever it is, and how examples are passed through it.

An engine is a backend class, imported by dotted path in the child: `apps.agents.formats` names one for each format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from apps.agents.criteria import Target
from apps.agents.errors import OutputsDiffer
from apps.agents.formats import format_spec
from apps.agents.reports import ModelSummary, TensorSpec
from apps.agents.text import TextEncoder

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]
Outputs = list[Array]
Run = Callable[[Feeds], Outputs]
"""One inference of a batch: all outputs in the model's order."""


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


def fixed_batch(inputs: tuple[TensorSpec, ...]) -> int | None:
    """The batch size that the model was exported with; `None` where its batch axis is dynamic."""
    for spec in inputs:
        if spec.shape and isinstance(spec.shape[0], int):
            return spec.shape[0]
    return None


def run_examples(run: Run, feeds: Feeds, batch: int | None) -> Outputs:
    """The outputs for every example of `feeds`, first axis the examples.

    A model with a fixed `batch` gets portions of that size; the last one is filled up with repeated examples, whose
    outputs are dropped. Raises `OutputsDiffer` for an output that does not have one entry an example.
    """
    examples = len(next(iter(feeds.values())))
    if batch is None:
        outputs = run(feeds)
    else:
        portions = [_portion(run, feeds, start, batch, examples) for start in range(0, examples, batch)]
        outputs = [np.concatenate(parts) for parts in zip(*portions, strict=True)]
    for index, output in enumerate(outputs):
        if output.shape[:1] != (examples,):
            reason = f"output {index} has the shape {list(output.shape)} for {examples} examples"
            raise OutputsDiffer(reason=reason)
    return outputs


def _portion(run: Run, feeds: Feeds, start: int, batch: int, examples: int) -> Outputs:
    chosen = np.minimum(np.arange(start, start + batch), examples - 1)
    kept = min(batch, examples - start)
    return [output[:kept] for output in run({name: array[chosen] for name, array in feeds.items()})]
