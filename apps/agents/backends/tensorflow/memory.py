"""The process in which `apps.agents.memory` measures a TensorFlow model.

    python -m apps.agents.backends.tensorflow.memory MODEL FEEDS.npz THREADS DEVICE RUNS [SIGNATURE]

Prints two numbers of bytes: resident before the model was loaded, and the highest since. On an accelerator they are 0
and the most that was allocated there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from apps.agents.backends.tensorflow.engine import run_on, use_threads
from apps.agents.backends.tensorflow.loading import load_opened
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.criteria import Device, Target
from apps.agents.lifeline import die_with_parent
from apps.agents.memory import resident_bytes


def main(model: str, feeds_path: str, threads: str, device: str, runs: str, signature: str | None = None) -> None:
    die_with_parent(os.getppid())
    target = Target(device=Device(device), threads=int(threads))
    use_threads(target.threads)
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = {name: stored[name] for name in stored.files}
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        opened = open_model(Path(model), Path(scratch))
        tf.constant(0.0) + 1.0  # Starts the runtime, whose own memory is not the model's.
        before, _ = resident_bytes()
        run = run_on(load_opened(opened, signature), target)
        for _ in range(int(runs)):
            run(feeds)
        _, peak = resident_bytes()
    if target.device is Device.CUDA:
        before, peak = 0, tf.config.experimental.get_memory_info("GPU:0")["peak"]
    print(before, peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
