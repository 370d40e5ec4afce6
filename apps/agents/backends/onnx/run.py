"""Run the model beside this file with ONNX Runtime: python run.py [examples.npz] [--axis SIZE]

examples.npz holds one array for each input; without it the inputs are random, and axes of any length have SIZE entries.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("examples", nargs="?", help="an .npz with one array for each input")
parser.add_argument("--axis", type=int, default=1, help="length of free axes of random inputs, 1 unless given")
given = parser.parse_args()

model = next(Path(__file__).parent.rglob("*.onnx"))
session = ort.InferenceSession(str(model), providers=ort.get_available_providers())
stored = np.load(given.examples) if given.examples else {}
random, feeds = np.random.default_rng(0), {}
for item in session.get_inputs():
    shape = [axis if isinstance(axis, int) else given.axis for axis in item.shape]
    dtype = {"float": "float32", "double": "float64"}.get(kind := item.type[7:-1], kind)
    drawn = np.full(shape, "text", object) if kind == "string" else random.integers(0, 2, shape).astype(dtype)
    feeds[item.name] = stored.get(item.name, drawn)
for item, array in zip(session.get_outputs(), session.run(None, feeds), strict=True):
    print(item.name, array.dtype, array.shape, array.ravel()[:8], sep="  ")
