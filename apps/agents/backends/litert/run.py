"""Run the model beside this file with LiteRT: python run.py [examples.npz] [--axis SIZE]

examples.npz holds one array for each input; without it the inputs are random, and axes of any length have SIZE entries.
A model that takes or gives whole numbers in place of floats is fed and read in floats here.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def steps(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Real numbers as the whole numbers that the model takes."""
    (scale, zero), limits = detail["quantization"], np.iinfo(detail["dtype"])
    return np.asarray(np.clip(np.rint(array / scale) + zero, limits.min, limits.max), detail["dtype"])


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("examples", nargs="?", help="an .npz with one array for each input")
parser.add_argument("--axis", type=int, default=1, help="length of free axes of random inputs, 1 unless given")
given = parser.parse_args()

interpreter = Interpreter(model_path=str(next(Path(__file__).parent.rglob("*.tflite"))))
described = Path(__file__).parent / "inputs.json"
signature = json.loads(described.read_text()).get("signature") if described.exists() else None
signature = signature or next(iter(interpreter.get_signature_list()), None)
runner = interpreter.get_signature_runner(signature) if signature else None
if runner is not None:
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
else:
    inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
stored = np.load(given.examples) if given.examples else {}
random, feeds = np.random.default_rng(0), {}
for name, detail in inputs.items():
    quantized = detail["quantization"][0] != 0
    shape = [given.axis if axis < 0 else axis for axis in detail["shape_signature"]]
    drawn = (
        random.standard_normal(shape) if quantized or detail["dtype"] == np.float32 else random.integers(0, 2, shape)
    )
    array = stored.get(name, drawn)
    feeds[name] = steps(array, detail) if quantized else np.asarray(array, detail["dtype"])
if runner is not None:
    results = runner(**feeds)
else:
    for name, detail in inputs.items():
        interpreter.resize_tensor_input(detail["index"], feeds[name].shape)
    interpreter.allocate_tensors()
    for name, detail in inputs.items():
        interpreter.set_tensor(detail["index"], feeds[name])
    interpreter.invoke()
    results = {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}
for name, array in results.items():
    scale, zero = outputs[name]["quantization"]
    array = (array.astype(np.float32) - zero) * np.float32(scale) if scale else array
    print(name, array.dtype, array.shape, array.ravel()[:8], sep="  ")
