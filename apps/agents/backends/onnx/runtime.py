"""ONNX Runtime sessions that measure the same way every time: fixed threads, named providers, sequential execution."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from apps.agents.criteria import Device, Target
from apps.agents.errors import DeviceMissing, ModelNotLoadable, ModelRunFailed

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
"""What the runtime raises about a model; they have no base class of their own."""
_RUN_ERRORS: tuple[type[Exception], ...] = (*RUNTIME_ERRORS, ValueError)
"""A missing or superfluous input is a ValueError."""

ONE_PROTOBUF_BYTES = 1_500_000_000
"""Models up to this size are worked on as one protobuf, which takes 2 GiB; what a tool adds needs some of it."""
ERRORS_ONLY = 3
MEMORY_PROBE_RUNS = 3
MEMORY_PROBE_TIMEOUT_S = 300.0


def providers(device: Device) -> list[str]:
    """Execution providers for a target. Raises `DeviceMissing` where this runtime has none for it."""
    wanted = {Device.CPU: "CPUExecutionProvider", Device.CUDA: "CUDAExecutionProvider"}[device]
    available = ort.get_available_providers()
    if wanted not in available:
        raise DeviceMissing(device=device.value, available=", ".join(available))
    return [wanted] if device is Device.CPU else [wanted, "CPUExecutionProvider"]


def session_options(threads: int, *, optimize: bool = True) -> ort.SessionOptions:
    """Options with `threads` inside an operator and one operator at a time; only errors are printed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def save_optimized(options: ort.SessionOptions, target: Path, size_bytes: int) -> None:
    """Have the session write its optimized graph to `target`; weights too large for a protobuf go to a file beside."""
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
    """A session of a model file (or its serialized protobuf) as a deployment would run it.

    `options` replaces what `threads` and `optimize` say. Raises `ModelNotLoadable` with the runtime's own reason.
    """
    source = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(
            source, options or session_options(threads, optimize=optimize), providers=providers(device)
        )
    except RUNTIME_ERRORS as error:
        raise ModelNotLoadable(reason=reason_of(error)) from error


def run(session: ort.InferenceSession, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
    """The outputs (all, or those named) for one batch. Raises `ModelRunFailed` with the runtime's own reason."""
    try:
        results: list[NDArray[Any]] = session.run(list(outputs) if outputs is not None else None, dict(feeds))
    except _RUN_ERRORS as error:
        raise ModelRunFailed(reason=reason_of(error)) from error
    return results


def reason_of(error: Exception) -> str:
    """The runtime's message without its tags, source paths and line breaks, in at most 400 characters."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    text = re.sub(r"/onnxruntime_src/\S+ ", "", text)
    return " ".join(text.split())[:400].rstrip(". ") or type(error).__name__


# --- memory ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryUse:
    """What a model adds to a process. The whole process, libraries included, is `peak_process_bytes`."""

    peak_bytes: int
    peak_process_bytes: int


def peak_memory(model: Path, feeds: Feeds, target: Target, *, runs: int = MEMORY_PROBE_RUNS) -> MemoryUse:
    """How much resident memory loading `model` and running it `runs` times takes at its peak.

    Method: a fresh process (`apps.agents.backends.onnx.memory`) imports the runtime and reads the feeds, notes its
    resident size, loads the model, runs it and notes the kernel's high-water mark (VmHWM). The difference is the
    model's: weights, prepacked copies and the arena for activations. Memory on an accelerator is not in it.

    Raises `ModelRunFailed` where the process fails or takes more than five minutes.
    """
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        np.savez(Path(folder) / "feeds.npz", allow_pickle=False, **feeds)
        command = [
            *(sys.executable, "-m", "apps.agents.backends.onnx.memory", str(model), str(Path(folder) / "feeds.npz")),
            *(str(target.threads), target.device.value, str(runs)),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=MEMORY_PROBE_TIMEOUT_S, check=True, cwd=_source_root()
            )
        except subprocess.TimeoutExpired as error:
            raise ModelRunFailed(reason=f"measuring memory took more than {MEMORY_PROBE_TIMEOUT_S:.0f} s") from error
        except subprocess.CalledProcessError as error:
            lines = (error.stderr or "").strip().splitlines()
            last = lines[-1] if lines else f"exit status {error.returncode}"
            raise ModelRunFailed(reason=f"the process that measures memory ended: {last[:300]}") from error
    before, peak = (int(part) for part in done.stdout.split()[-2:])
    return MemoryUse(peak_bytes=max(0, peak - before), peak_process_bytes=peak)


def _source_root() -> Path:
    """Where `-m apps…` resolves from, installed or not."""
    return Path(__file__).resolve().parents[4]
