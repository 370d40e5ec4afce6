"""Runs graphs on examples, and counts what they name rightly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto

from apps.agents.backends.onnx import runtime
from apps.agents.backends.onnx.flow import Flow
from apps.agents.measuring.engine import Feeds
from tests.agents.workshop import FASHION


def outputs(model: ModelProto | Path, x: np.ndarray, name: str = "x") -> np.ndarray:
    """The first output of a graph for its input `name`."""
    source = model if isinstance(model, Path) else model.SerializeToString()
    return runtime.run(runtime.open_session(source), {name: x})[0]


def flow_through(x: np.ndarray) -> Flow:
    """All of `x` in one batch."""

    def batches(count: int) -> Iterator[Feeds]:
        yield {"x": x[:count]}

    return Flow(batches, len(x))


def fashion(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of the sample data."""
    with np.load(FASHION) as stored:
        images, labels = sorted((stored[name] for name in stored.files), key=lambda one: -one.ndim)
    return images[:count].reshape(-1, 1, 28, 28).astype(np.float32), labels[:count]


def per_cent_right(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float((outputs(model, images, "image").argmax(1) == labels).mean())
