"""The process in which `apps.agents.memory` measures an ONNX model.

    python -m apps.agents.backends.onnx.memory MODEL FEEDS.npz THREADS DEVICE RUNS

Prints two numbers of bytes: resident before the model was loaded, and the highest since.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from apps.agents.backends.onnx import runtime
from apps.agents.criteria import Device
from apps.agents.lifeline import die_with_parent
from apps.agents.memory import resident_bytes


def main(model: str, feeds_path: str, threads: str, device: str, runs: str) -> None:
    die_with_parent(os.getppid())
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = {name: stored[name] for name in stored.files}
    before, _ = resident_bytes()
    session = runtime.open_session(Path(model), threads=int(threads), device=Device(device))
    for _ in range(int(runs)):
        runtime.run(session, feeds)
    _, peak = resident_bytes()
    print(before, peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
