"""TensorFlow as the evaluation's engine (`apps.agents.measuring.engine.Engine`)."""

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
"""TensorFlow's environment variable for the default number of threads."""
_DEVICES = {Device.CPU: "/CPU:0", Device.CUDA: "/GPU:0"}


class TensorFlowEngine:
    """A model of any TensorFlow format, opened once under `scratch` and loaded on first use.

    `signature` selects the function of a SavedModel, by default its default one.
    """

    encoder: None = None
    """None of these formats contains a tokenizer that Lathe reads."""

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
        """Run a separate graph over the loaded variables, as `tf.function` without XLA."""
        return run_on(self.model, target)

    def compiled_session(self, target: Target) -> Run:
        """The same, compiled by XLA."""
        return run_on(self.model, target, compiled=True)

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        """Peak resident memory, or peak allocation on an accelerator, in a separate process."""
        device_of(target)
        probe, extra = "apps.agents.backends.tensorflow.memory_probe", [self._signature] if self._signature else []
        return peak_memory.measure(probe, self._opened.path, feeds, target, extra=extra)

    def profile(self, feeds: Feeds, target: Target, runs: int) -> None:
        """`None`: the graph runs as a whole, and its profiler only writes traces for other programs."""


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
    """Turn TensorFlow's exceptions about a model into `ModelRunFailed`, except a lack of memory."""
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
    """Compute with this many threads inside an operator and one operator at a time.

    TensorFlow fixes the number at its first computation. A child sets it in its environment. Raises `ModelRunFailed` if
    the process has already computed with another number.
    """
    chosen = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get(_THREADS, "0"))
    if chosen == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        reason = f"TensorFlow already computes with {chosen or 'all'} threads in this process, not with {threads}"
        raise ModelRunFailed(reason=reason) from error
