"""A model as TensorFlow Lite, only to count its bytes: it is converted, and not compared with the original."""

from __future__ import annotations

from pathlib import Path

from apps.agents.backends.tensorflow.litert_conversion import converted
from apps.agents.backends.tensorflow.litert_export import ARTIFACT, reason_of
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.backends.tensorflow.technique import library_words

LABEL = "Export to LiteRT"


def as_litert(model: Path, folder: Path, signature: str | None = None) -> Path:
    """The `.tflite` that the converter makes of a model, with its weights as they are stored.

    Raises `TechniqueLibraryFailed` if it cannot be converted, and the errors of opening it.
    """
    target = folder / ARTIFACT
    with library_words(LABEL, reason_of):
        target.write_bytes(converted(load_opened(open_model(model, folder), signature), folder).content)
    return target
