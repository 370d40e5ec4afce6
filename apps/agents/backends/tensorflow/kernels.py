"""The weights of a Keras model that techniques may thin out or share: kernels, and no biases, norms or positions."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from apps.agents.backends.tensorflow.freezing import SIGNATURE, write_frozen
from apps.agents.backends.tensorflow.loading import keras_model, layers_of
from apps.agents.backends.tensorflow.technique import library_words
from apps.agents.formats import Format
from apps.agents.optimization import Assignment
from apps.agents.reproducible_zip import write_zip

_NAMES = frozenset(("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings"))
_LEAST_AXES = 2


def kernels_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Each kernel once, as `layer/weight` and the variable."""
    for layer in layers_of(model):
        for weight in layer.weights:
            if weight.name in _NAMES and len(weight.shape) >= _LEAST_AXES:
                yield f"{layer.name}/{weight.name}", weight


def sizes_of(model: Any, assignment: Assignment, artifact: Path) -> dict[str, int]:
    """Bytes of a Keras model as it is stored, zipped, as float TensorFlow Lite, and that zipped."""
    with tempfile.TemporaryDirectory(prefix="sizes-", dir=assignment.scratch) as folder:
        zipped = write_zip(Path(folder) / "zipped", [(artifact.name, artifact)], compress=True).stat().st_size
        with library_words(assignment.spec.label):
            frozen = write_frozen(keras_model(model, Format.KERAS, ""), Path(folder) / "frozen")
            converter = tf.lite.TFLiteConverter.from_saved_model(str(frozen), signature_keys=[SIGNATURE])
            converted = converter.convert()
    return {
        "dense": artifact.stat().st_size,
        "zipped": zipped,
        "TensorFlow Lite": len(converted),
        "zipped TensorFlow Lite": len(zlib.compress(converted, 9)),
    }
