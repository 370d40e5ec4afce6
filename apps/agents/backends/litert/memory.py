"""The process in which `apps.agents.memory` measures a TensorFlow Lite model.

    python -m apps.agents.backends.litert.memory MODEL FEEDS.npz THREADS DEVICE RUNS

Prints two numbers of bytes: resident before the model was loaded, and the highest since.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from apps.agents.backends.litert.flatbuffer import read_litert
from apps.agents.backends.litert.runtime import Session
from apps.agents.criteria import Device, Target
from apps.agents.lifeline import die_with_parent
from apps.agents.memory import resident_bytes


def main(model: str, feeds_path: str, threads: str, device: str, runs: str) -> None:
    die_with_parent(os.getppid())
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = {name: stored[name] for name in stored.files}
    file = read_litert(Path(model))
    before, _ = resident_bytes()
    run = Session(file, Path(model), Target(device=Device(device), threads=int(threads)))
    for _ in range(int(runs)):
        run(feeds)
    _, peak = resident_bytes()
    print(before, peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
