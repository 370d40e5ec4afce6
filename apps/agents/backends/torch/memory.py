"""The process in which `apps.agents.memory` measures a PyTorch model.

    python -m apps.agents.backends.torch.memory MODEL FEEDS.npz THREADS DEVICE RUNS

Prints two numbers of bytes: resident before the model was loaded, and the highest since. On an accelerator they are 0
and the most that was allocated there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_opened, summarize
from apps.agents.backends.torch.opening import open_model
from apps.agents.lifeline import die_with_parent
from apps.agents.memory import resident_bytes


def main(model: str, feeds_path: str, threads: str, device: str, runs: str) -> None:
    die_with_parent(os.getppid())
    use_threads(int(threads))
    with np.load(feeds_path, allow_pickle=False) as stored:
        feeds = {name: stored[name] for name in stored.files}
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        opened = open_model(Path(model), Path(scratch))
        summarize(opened)  # Imports the classes that the model is made of.
        before, _ = resident_bytes()
        loaded = load_opened(opened, device=device)
        for _ in range(int(runs)):
            loaded.run(feeds, device)
        _, peak = resident_bytes()
    print(*((before, peak) if device == "cpu" else (0, torch.cuda.max_memory_allocated())))


if __name__ == "__main__":
    main(*sys.argv[1:])
