"""The part of `run.py` for TensorFlow: opens the model next to this file."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def load(
    here: Path, interface: dict[str, Any], threads: int
) -> tuple[list[str], Callable[[dict[str, Any]], dict[str, Any]]]:
    """The names of the declared inputs, and a function from arrays by name to outputs by name."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    types = {item["name"]: item["dtype"] for item in interface["inputs"]}
    call = opened(interface.get("signature"))

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        results = call({name: tf.constant(feeds[name], dtype) for name, dtype in types.items()})
        return {name: np.asarray(tensor) for name, tensor in results.items()}

    return list(types), run


def opened(signature: str | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function of tensors by name. Keras files are read by Keras 3, or by tf_keras if it cannot."""
    if (folder := next(HERE.rglob("saved_model.pb"), None)) is not None:
        importlib.import_module("tf_keras")  # Models that it saved can only be restored with its classes.
        loaded = tf.saved_model.load(str(folder.parent))
        function = loaded.signatures[signature or "serving_default"]
        function.owner = loaded
        return lambda feeds: function(**feeds)
    file = next(path for path in HERE.iterdir() if path.suffix in (".keras", ".h5"))
    try:
        model = importlib.import_module("keras").models.load_model(file, compile=False)
    except Exception:
        model = importlib.import_module("tf_keras").models.load_model(file, compile=False)

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        given = list(feeds.values())
        structure = getattr(model, "_inputs_struct", getattr(model, "_nested_inputs", None))
        packed = (
            given[0] if len(given) == 1 else given if structure is None else tf.nest.pack_sequence_as(structure, given)
        )
        results = tf.nest.flatten(model(packed, training=False))
        names = getattr(model, "output_names", None) or [f"output_{place}" for place in range(len(results))]
        return dict(zip(names, results, strict=True))

    return run
