"""The process in which `runtime.peak_memory` measures: nothing but the runtime, the feeds and one model.

    python -m apps.agents.backends.onnx.memory MODEL FEEDS.npz THREADS DEVICE RUNS

Prints two numbers of bytes: resident before the model was loaded, and the highest since.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

import numpy as np

from apps.agents.backends.onnx import runtime
from apps.agents.criteria import Device
from apps.agents.lifeline import die_with_parent

KIB = 1024


def resident_bytes() -> tuple[int, int]:
    """Resident now and at its highest, from the kernel's account of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status.read_text(), re.MULTILINE))
        return int(found["VmRSS"]) * KIB, int(found["VmHWM"]) * KIB
    # Without /proc only the highest is known: bytes on macOS, KiB elsewhere.
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIB)
    return highest, highest


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
