"""LiteRT interpreters for reproducible measurements: fixed threads, XNNPACK on, inputs and outputs by name.

XNNPACK is the runtime's default delegate for a CPU and decides its speed. See
https://ai.google.dev/edge/litert/inference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from apps.agents.backends.litert.flatbuffer import LiteRtFile, Port
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.running import DeviceMissing, ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.reports.model import Quantized
from apps.agents.measuring.engine import Array, Feeds, Outputs
from apps.agents.measuring.peak_memory import RUNS, measure

_ERRORS = (RuntimeError, ValueError, TypeError, IndexError)


class Session:
    """One interpreter of a model. Calling it runs a batch. Tensors are reallocated only if shapes change."""

    def __init__(self, file: LiteRtFile, model: Path | bytes, target: Target, *, delegated: bool = True) -> None:
        if target.device is not Device.CPU:
            raise DeviceMissing(device=target.device.value, available="cpu")
        self._file = file
        self.interpreter = _interpreter(model, target.threads, delegated=delegated)
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._inputs = [(port, file.port_spec(port).quantized, self._dtype(port)) for port in file.inputs]
        self._outputs = [(port, file.port_spec(port).quantized) for port in file.outputs]

    def __call__(self, feeds: Feeds) -> Outputs:
        """All outputs in the model's order, as real numbers. Raises `ModelRunFailed` with the runtime's own reason."""
        try:
            arrays = {
                port.tensor: _given(feeds[port.name], quantized, dtype) for port, quantized, dtype in self._inputs
            }
            self._fit({tensor: array.shape for tensor, array in arrays.items()})
            for tensor, array in arrays.items():
                self.interpreter.set_tensor(tensor, array)
            self.interpreter.invoke()
            return [_taken(self.interpreter.get_tensor(port.tensor), how) for port, how in self._outputs]
        except KeyError as error:
            raise ModelRunFailed(reason=f"the input {error} is missing") from error
        except _ERRORS as error:
            raise ModelRunFailed(reason=reason_of(error)) from error

    def _fit(self, shapes: dict[int, tuple[int, ...]]) -> None:
        if shapes == self._shapes:
            return
        for tensor, shape in shapes.items():
            self.interpreter.resize_tensor_input(tensor, shape)
        self.interpreter.allocate_tensors()
        self._shapes = shapes

    def _dtype(self, port: Port) -> Any:
        return next(one["dtype"] for one in self.interpreter.get_input_details() if one["index"] == port.tensor)


def shapes_of(file: LiteRtFile, model: Path, feeds: Feeds) -> dict[int, tuple[int, ...]]:
    """The shape of every tensor when `feeds` are run, by its index. Raises `ModelRunFailed`.

    Runs without the delegate, which does not report the shapes of its tensors.
    """
    session = Session(file, model, Target(), delegated=False)
    session(feeds)
    return {one["index"]: tuple(map(int, one["shape"])) for one in session.interpreter.get_tensor_details()}


def check_loads(file: LiteRtFile, model: Path | bytes) -> None:
    """Let the runtime verify the file and find its operators, without computing. Raises `ModelNotLoadable`."""
    Session(file, model, Target())


def _interpreter(model: Path | bytes, threads: int, *, delegated: bool) -> Interpreter:
    source: dict[str, Any] = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    if not delegated:
        source["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        return Interpreter(**source, num_threads=threads)
    except (*_ERRORS, OSError) as error:
        raise ModelNotLoadable(reason=reason_of(error)) from error


def _given(array: Array, quantized: Quantized | None, dtype: Any) -> Array:
    if quantized is None:
        return np.asarray(array, dtype=None if array.dtype == object else dtype, order="C")
    limits = np.iinfo(quantized.dtype)
    steps = np.rint(np.asarray(array, np.float32) / quantized.scale) + quantized.zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max), quantized.dtype)


def _taken(array: Array, quantized: Quantized | None) -> Array:
    if quantized is None:
        return array
    values = (array.astype(np.float32) - quantized.zero_point) * np.float32(quantized.scale)
    return np.asarray(values, np.float32)


def reason_of(error: Exception) -> str:
    """The runtime's message without source paths and line breaks, at most 400 characters."""
    return " ".join(str(error).split())[:400].rstrip(". ") or type(error).__name__


def peak_memory(model: Path, feeds: Feeds, target: Target, *, runs: int = RUNS) -> int:
    """Bytes that loading `model` and running it `runs` times takes: see `measuring.peak_memory`."""
    return measure("apps.agents.backends.litert.memory_probe", model, feeds, target, runs=runs)
