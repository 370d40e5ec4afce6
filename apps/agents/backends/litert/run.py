"""The part of `run.py` for LiteRT: opens the model next to this file.

A model with integer inputs or outputs in place of floats is fed and read in floats here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

Arrays = dict[str, Any]


def load(here: Path, interface: dict[str, Any], threads: int) -> tuple[list[str], Callable[[Arrays], Arrays]]:
    """The names of the inputs, and a function from arrays by name to outputs by name."""
    interpreter = Interpreter(model_path=str(next(here.rglob("*.tflite"))), num_threads=threads)
    name = interface.get("signature") or next(iter(interpreter.get_signature_list()), None)
    runner: Any = interpreter.get_signature_runner(name) if name is not None else None
    call: Callable[[Arrays], Arrays]
    if runner is not None:
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        call = lambda feeds: runner(**feeds)  # noqa: E731 - the alternative is a function as well
    else:
        inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
        outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
        call = _without_signature(interpreter, inputs, outputs)

    def run(feeds: Arrays) -> Arrays:
        results = call({name: _given(feeds[name], detail) for name, detail in inputs.items()})
        return {name: _taken(array, outputs[name]) for name, array in results.items()}

    return list(inputs), run


def _without_signature(interpreter: Any, inputs: Arrays, outputs: Arrays) -> Callable[[Arrays], Arrays]:
    """A run through the interpreter itself. Tensors are reallocated only if shapes change."""
    known: Arrays = {}

    def call(feeds: Arrays) -> Arrays:
        shapes = {name: array.shape for name, array in feeds.items()}
        if shapes != known:
            for name, detail in inputs.items():
                interpreter.resize_tensor_input(detail["index"], shapes[name])
            interpreter.allocate_tensors()
            known.update(shapes)
        for name, detail in inputs.items():
            interpreter.set_tensor(detail["index"], feeds[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}

    return call


def _given(array: Any, detail: dict[str, Any]) -> Any:
    """Real numbers as the integers that the model takes, if it takes integers."""
    scale, zero = detail["quantization"]
    if not scale:
        return array.astype(detail["dtype"]) if array.dtype.kind in "biuf" else array
    limits = np.iinfo(detail["dtype"])
    return np.asarray(np.clip(np.rint(array / scale) + zero, limits.min, limits.max), detail["dtype"])


def _taken(array: Any, detail: dict[str, Any]) -> Any:
    scale, zero = detail["quantization"]
    return (array.astype(np.float32) - zero) * np.float32(scale) if scale else array
