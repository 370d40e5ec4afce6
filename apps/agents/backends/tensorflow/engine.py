"""TensorFlow as an evaluation wants it (`apps.agents.measuring.engine.Engine`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import tensorflow as tf

from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.model import TensorFlowModel
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.running import DeviceMissing, ModelRunFailed
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.measuring import peak_memory
from apps.agents.measuring.engine import Feeds, Outputs, Run
from apps.agents.techniques.library_calls import words_of

_THREADS = "TF_NUM_INTRAOP_THREADS"
"""Where TensorFlow looks for the number when nobody has set it."""
_DEVICES = {Device.CPU: "/CPU:0", Device.CUDA: "/GPU:0"}


class TensorFlowEngine:
    """A model of any TensorFlow format, opened once under `scratch` and loaded when it is first needed.

    `signature` is the function of a SavedModel that is meant; its default one unless given.
    """

    encoder: None = None
    """No format here carries a tokenizer that Lathe reads."""

    def __init__(self, model: Path, scratch: Path, signature: str | None = None) -> None:
        self._opened = open_model(model, scratch)
        self._signature = signature

    @cached_property
    def model(self) -> TensorFlowModel:
        return load_opened(self._opened, self._signature)

    @cached_property
    def summary(self) -> ModelSummary:
        return self.model.summary

    def session(self, target: Target) -> Run:
        """A graph of its own over the loaded variables, as `tf.function` runs it without XLA."""
        return run_on(self.model, target)

    def compiled_session(self, target: Target) -> Run:
        """The same compiled by XLA."""
        return run_on(self.model, target, compiled=True)

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        """Resident memory, or on an accelerator what was allocated there, at its peak in a process of its own."""
        device_of(target)
        probe, extra = "apps.agents.backends.tensorflow.memory", [self._signature] if self._signature else []
        return peak_memory.measure(probe, self._opened.path, feeds, target, extra=extra)

    def profile(self, feeds: Feeds, target: Target, runs: int) -> None:
        """The graph runs as a whole, and its profiler writes traces for other programs only."""


def run_on(model: TensorFlowModel, target: Target, *, compiled: bool = False) -> Run:
    """One inference of `model` at the target. Raises `DeviceMissing`, and in use `ModelRunFailed`."""
    use_threads(target.threads)
    device = device_of(target)
    names = [(spec.name, tf.as_dtype(spec.dtype)) for spec in model.summary.inputs]
    outputs = [spec.name for spec in model.summary.outputs]
    with _run_errors(), tf.device(device):
        function = model.traced(compiled=compiled)

    def run(feeds: Feeds) -> Outputs:
        with _run_errors(), tf.device(device):
            results = function(**{name: tf.constant(feeds[name], dtype) for name, dtype in names})
            return [results[name].numpy() for name in outputs]

    return run


@contextmanager
def _run_errors() -> Iterator[None]:
    """Turns what TensorFlow raises about a model into `ModelRunFailed`; a lack of memory stays what it is."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise
    except (tf.errors.OpError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise ModelRunFailed(reason=words_of(error)) from error


def device_of(target: Target) -> str:
    """TensorFlow's name of the target's device. Raises `DeviceMissing`."""
    if target.device is Device.CUDA and not tf.config.list_physical_devices("GPU"):
        raise DeviceMissing(device=target.device.value, available="cpu")
    return _DEVICES[target.device]


def use_threads(threads: int) -> None:
    """Compute with so many threads inside an operator and one operator at a time.

    TensorFlow settles this when it first computes anything. A child has it in its environment, and a process that has
    computed with another number already says so. Raises `ModelRunFailed`.
    """
    chosen = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get(_THREADS, "0"))
    if chosen == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        reason = f"TensorFlow computes with {chosen or 'all'} threads in this process already, not with {threads}"
        raise ModelRunFailed(reason=reason) from error
