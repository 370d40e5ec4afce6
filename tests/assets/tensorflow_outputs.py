"""What a TensorFlow model gives for the examples of an npz; run as a module, in a process of its own.

    python -m tests.assets.tensorflow_outputs LIBRARY MODEL DATA OUT

LIBRARY reads MODEL: `keras` or `tf_keras` a file, `tensorflow` a zip of a SavedModel, by its default signature. DATA
has an array named as the model's one input. Writes the npz OUT with the outputs as the signature names them; that of a
Keras file is `output`.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import numpy as np

BATCH = 250

Run = Callable[[np.ndarray], dict[str, np.ndarray]]


def keras_file(library: str, path: Path) -> tuple[str, Run]:
    """The input's name, and a function from its array to the outputs'."""
    model = importlib.import_module(library).models.load_model(path, compile=False)
    name = model.inputs[0].name
    return name, lambda batch: {"output": model(batch, training=False).numpy()}


def saved_model(archive: Path, scratch: Path) -> tuple[str, Run]:
    """The same of a zip; tf_keras, imported first, knows what old Keras models hold beside functions."""
    importlib.import_module("tf_keras")
    tensorflow = importlib.import_module("tensorflow")
    with zipfile.ZipFile(archive) as source:
        source.extractall(scratch)
    serve = tensorflow.saved_model.load(scratch).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        return {key: value.numpy() for key, value in serve(**{name: tensorflow.constant(batch)}).items()}

    return name, run


def main() -> None:
    library, model, data, out = sys.argv[1], *map(Path, sys.argv[2:])
    with tempfile.TemporaryDirectory() as scratch:
        name, run = saved_model(model, Path(scratch)) if library == "tensorflow" else keras_file(library, model)
        examples = np.load(data)[name]
        parts = [run(examples[start : start + BATCH]) for start in range(0, len(examples), BATCH)]
    np.savez(out, **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


if __name__ == "__main__":
    main()
