"""ONNX Runtime sessions for reproducible measurements: fixed threads, named providers, sequential execution."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.running import DeviceMissing, ModelNotLoadable, ModelRunFailed
from apps.agents.measuring.peak_memory import RUNS, measure

Feeds = Mapping[str, NDArray[Any]]

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.NoSuchFile,
    state.NotFound,
    state.EPFail,
    state.EngineError,
    state.RuntimeException,
)
"""The runtime's exceptions about a model. They do not have a common base class."""
_RUN_ERRORS: tuple[type[Exception], ...] = (*RUNTIME_ERRORS, ValueError)
"""A missing or superfluous input is a ValueError."""

ONE_PROTOBUF_BYTES = 1_500_000_000
"""Models up to this size are processed as one protobuf, whose limit is 2 GiB; tools need some of it for additions."""
ERRORS_ONLY = 3
PROVIDERS = {Device.CPU: "CPUExecutionProvider", Device.CUDA: "CUDAExecutionProvider"}
"""The execution provider of each kind of device."""


def providers(device: Device) -> list[str]:
    """Execution providers for a target. Raises `DeviceMissing` if the installed runtime has none for it."""
    wanted = PROVIDERS[device]
    available = ort.get_available_providers()
    if wanted not in available:
        raise DeviceMissing(device=device.value, available=", ".join(available))
    return [wanted] if device is Device.CPU else [wanted, PROVIDERS[Device.CPU]]


@cache
def _load_cuda() -> None:
    """Load CUDA's libraries from where pip has installed them, because the system's linker does not look there."""
    ort.preload_dlls()


def session_options(threads: int, *, optimize: bool = True) -> ort.SessionOptions:
    """Options with `threads` inside an operator and one operator at a time. Only errors are printed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def save_optimized(options: ort.SessionOptions, target: Path, size_bytes: int) -> None:
    """Let the session write its optimized graph to `target`; weights too large for a protobuf go to a separate file."""
    options.optimized_model_filepath = str(target)
    if size_bytes > ONE_PROTOBUF_BYTES:
        key = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(key, f"{target.name}.data")


def open_session(
    model: Path | bytes,
    *,
    threads: int = 1,
    device: Device = Device.CPU,
    optimize: bool = True,
    options: ort.SessionOptions | None = None,
) -> ort.InferenceSession:
    """A session of a model file (or its serialized protobuf), as in a deployment.

    `options` replaces `threads` and `optimize`. Raises `ModelNotLoadable` with the runtime's own reason, and
    `DeviceMissing` where it would compute on another device without a word, as it does if it cannot load a library.
    """
    source, wanted = model if isinstance(model, bytes) else str(model), providers(device)
    if device is Device.CUDA:
        _load_cuda()
    try:
        session = ort.InferenceSession(source, options or session_options(threads, optimize=optimize), providers=wanted)
    except RUNTIME_ERRORS as error:
        raise ModelNotLoadable(reason=reason_of(error)) from error
    if wanted[0] not in (granted := session.get_providers()):
        raise DeviceMissing(device=device.value, available=", ".join(granted))
    return session


def run(session: ort.InferenceSession, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
    """The outputs (all, or the named ones) for one batch. Raises `ModelRunFailed` with the runtime's own reason."""
    try:
        results: list[NDArray[Any]] = session.run(list(outputs) if outputs is not None else None, dict(feeds))
    except _RUN_ERRORS as error:
        raise ModelRunFailed(reason=reason_of(error)) from error
    return results


def reason_of(error: Exception) -> str:
    """The runtime's message without its tags, source paths and line breaks, at most 400 characters."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    text = re.sub(r"/onnxruntime_src/\S+ ", "", text)
    return " ".join(text.split())[:400].rstrip(". ") or type(error).__name__


def peak_memory(model: Path, feeds: Feeds, target: Target, *, runs: int = RUNS) -> int:
    """Bytes that loading `model` and running it `runs` times takes on the host: see `measuring.peak_memory`.

    Includes prepacked copies of weights and the arena for activations, but not memory on an accelerator.
    """
    return measure("apps.agents.backends.onnx.memory_probe", model, feeds, target, runs=runs)
