"""Run the model beside this file with TensorFlow: python run.py [examples.npz] [--axis SIZE]

examples.npz holds one array for each input of inputs.json; without it the inputs are random, and axes of any length
have SIZE entries.
"""

import argparse
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent


def load(signature: str | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function of tensors by name. Keras files are read by Keras 3, or by tf_keras where that cannot."""
    if (folder := next(HERE.rglob("saved_model.pb"), None)) is not None:
        importlib.import_module("tf_keras")  # What it saved is revived by its classes alone.
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


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("examples", nargs="?", help="an .npz with one array for each input")
parser.add_argument("--axis", type=int, default=1, help="length of free axes of random inputs, 1 unless given")
given = parser.parse_args()
described = json.loads((HERE / "inputs.json").read_text())
stored = np.load(given.examples) if given.examples else {}
random, feeds = np.random.default_rng(0), {}
for item in described["inputs"]:
    shape = [axis if isinstance(axis, int) else given.axis for axis in item["shape"]]
    if item["dtype"] == "string":
        drawn = np.full(shape, "text")
    else:
        drawn = random.standard_normal(shape) if "float" in item["dtype"] else random.integers(0, 2, shape)
    feeds[item["name"]] = tf.constant(stored.get(item["name"], drawn), item["dtype"])
for name, tensor in load(described.get("signature"))(feeds).items():
    array = np.asarray(tensor)
    print(name, array.dtype, array.shape, array.ravel()[:8], sep="  ")
