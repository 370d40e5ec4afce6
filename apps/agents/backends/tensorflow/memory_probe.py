"""The process in which `measuring.peak_memory` measures a TensorFlow model. SIGNATURE may follow RUNS."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow as tf

from apps.agents.backends.tensorflow.engine import run_on, use_threads
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.measuring.peak_memory_process import Probe


def main() -> None:
    probe = Probe.of_arguments()
    use_threads(probe.target.threads)
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        opened = open_model(probe.model, Path(scratch))
        tf.constant(0.0) + 1.0  # Starts the runtime, whose own memory does not count as the model's.
        probe.report(lambda: run_on(load_opened(opened, *probe.extra), probe.target), _allocated)


def _allocated() -> int:
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


if __name__ == "__main__":
    main()
