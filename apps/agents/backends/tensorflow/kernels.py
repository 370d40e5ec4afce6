"""The weights of a Keras model that techniques may prune or cluster: kernels, but not biases, norms or positions."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.agents.backends.tensorflow.litert_conversion import converted
from apps.agents.backends.tensorflow.loading import keras_model, layers_of
from apps.agents.backends.tensorflow.technique import library_words
from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.contracts.formats import Format
from apps.agents.files.reproducible_zip import write_zip
from apps.agents.techniques.base import Assignment

_NAMES = frozenset(("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings"))
_LEAST_AXES = 2


def kernels_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Each kernel once, as `layer/weight` and the variable."""
    for layer in layers_of(model):
        for weight in layer.weights:
            if weight.name in _NAMES and len(weight.shape) >= _LEAST_AXES:
                yield f"{layer.name}/{weight.name}", weight


def sizes_of(model: Any, assignment: Assignment, artifact: Path) -> dict[str, int]:
    """Bytes of a Keras model as stored, zipped, as float TensorFlow Lite, and that zipped.

    The last two are missing if LiteRT cannot convert the model.
    """
    with tempfile.TemporaryDirectory(prefix="sizes-", dir=assignment.scratch) as folder:
        zipped = write_zip(Path(folder) / "zipped", [(artifact.name, artifact)], compress=True).stat().st_size
        sizes = {"dense": artifact.stat().st_size, "zipped": zipped}
        try:
            with library_words(assignment.spec.label):
                content = converted(keras_model(model, Format.KERAS, ""), Path(folder)).content
        except TechniqueLibraryFailed:  # LiteRT cannot convert it, so these sizes are left out.
            return sizes
    return {**sizes, "TensorFlow Lite": len(content), "zipped TensorFlow Lite": len(zlib.compress(content, 9))}
