"""The part of `run.py` for ONNX Runtime: opens the model next to this file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

Arrays = dict[str, Any]
_DTYPES = {"float": "float32", "double": "float64"}


def load(here: Path, interface: dict[str, Any], threads: int) -> tuple[list[str], Callable[[Arrays], Arrays]]:
    """The names of the inputs, and a function from arrays by name to outputs by name."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model = next(here.rglob("*.onnx"))
    session = ort.InferenceSession(str(model), options, providers=ort.get_available_providers())
    wanted = {item.name: item.type[7:-1] for item in session.get_inputs()}
    outputs = [item.name for item in session.get_outputs()]

    def run(feeds: Arrays) -> Arrays:
        typed = {name: _typed(array, wanted[name]) for name, array in feeds.items()}
        return dict(zip(outputs, session.run(None, typed), strict=True))

    return list(wanted), run


def _typed(array: Any, kind: str) -> Any:
    """Numbers in the input's type. Texts, and types unknown to NumPy, are unchanged."""
    name = _DTYPES.get(kind, kind)
    return array.astype(name) if hasattr(np, name) and array.dtype.kind in "biuf" else array
