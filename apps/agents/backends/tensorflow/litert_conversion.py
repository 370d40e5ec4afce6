"""TensorFlow's converter to LiteRT, and the forms of a model that are tried until one converts.

LiteRT has no lists of tensors, in which a recurrent network collects the outputs of its steps. The converter can avoid
them if it knows the shape of every step. So a recurrent network is converted unchanged, then with its steps unrolled,
then for batches of one example. See https://ai.google.dev/edge/litert/conversion/tensorflow/rnn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from apps.agents.backends.tensorflow.freezing import SIGNATURE, Shapes, write_frozen
from apps.agents.backends.tensorflow.model import TensorFlowModel

MOST_STEPS = 128
"""Longest series whose steps are unrolled, because the graph grows with each step."""


@dataclass(frozen=True)
class Converted:
    """The bytes of a `.tflite`, and a description of its peculiarities; empty if it has none."""

    content: bytes
    description: str


@dataclass(frozen=True)
class _Form:
    description: str
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    shapes: Shapes | None = None


def converted(model: TensorFlowModel, scratch: Path, agrees: Callable[[bytes], bool] | None = None) -> Converted:
    """The model in the first form that converts and whose result `agrees` with the model.

    The last form is used without that check. Raises the converter's error for the unchanged model.
    """
    refusals: list[Exception] = []
    made = None
    for form in _forms(model):
        folder = Path(tempfile.mkdtemp(prefix="frozen-", dir=scratch))
        try:
            with form.held():
                write_frozen(model, folder, form.shapes)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[SIGNATURE])
            made = Converted(bytes(converter.convert()), form.description)
            if agrees is None or agrees(made.content):
                return made
        except tf.errors.ResourceExhaustedError:
            raise
        except Exception as error:
            refusals.append(error)
    if made is not None:
        return made
    raise refusals[0]


def _forms(model: TensorFlowModel) -> Iterator[_Form]:
    yield _Form("")
    if layers := list(_recurrent(model.keras)):
        yield _Form("its recurrent steps are unrolled", lambda: _unrolled(layers))
    inputs = model.summary.inputs
    if all(spec.shape and not isinstance(spec.shape[0], int) for spec in inputs):
        axes = {spec.name: [axis if isinstance(axis, int) else None for axis in spec.shape[1:]] for spec in inputs}
        one = {name: (1, *rest) for name, rest in axes.items()}
        yield _Form("it takes one example at a time", shapes=one)


def _recurrent(model: Any) -> Iterator[Any]:
    """The layers of Keras 3 or tf_keras that can unroll their steps, if there are not too many."""
    for layer in model._flatten_layers() if model is not None else ():
        if isinstance(getattr(layer, "unroll", None), bool) and not layer.unroll:
            yield layer


@contextmanager
def _unrolled(layers: list[Any]) -> Iterator[None]:
    """Within this context the layers unroll their steps when called. Raises `ValueError` for too many steps."""
    before = [(layer, dict(vars(layer))) for layer in layers]
    try:
        for layer in layers:
            if (_steps(layer) or 0) > MOST_STEPS:
                raise ValueError(f"its series have more than {MOST_STEPS} steps")
            layer.unroll = True
            if hasattr(layer, "_could_use_gpu_kernel"):  # tf_keras would otherwise call its own loop.
                layer._could_use_gpu_kernel = False
        yield
    finally:
        for layer, attributes in before:
            layer.unroll = False
            if "_could_use_gpu_kernel" in attributes:
                layer._could_use_gpu_kernel = attributes["_could_use_gpu_kernel"]


def _steps(layer: Any) -> int | None:
    """The length of the series that a layer processes; `None` if it is free or unknown."""
    try:
        length: int | None = tuple(layer.input.shape)[0 if getattr(layer, "time_major", False) else 1]
    except (AttributeError, ValueError, IndexError, RuntimeError):
        return None
    return length
