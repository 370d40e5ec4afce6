"""The process that `peak_memory.measure` starts: it holds only a runtime, the feeds and one model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.peak_memory import resident_bytes
from apps.agents.sandbox.parent_watch import die_with_parent


@dataclass(frozen=True)
class Probe:
    """The task of such a process.

    Its arguments are MODEL FEEDS.npz THREADS DEVICE RUNS, followed by those of its runtime (`extra`).
    """

    model: Path
    feeds: Feeds
    target: Target
    runs: int
    extra: tuple[str, ...]

    @classmethod
    def of_arguments(cls) -> Probe:
        """Read the command line and load the feeds. The process ends when the one that started it ends."""
        die_with_parent(os.getppid())
        model, feeds, threads, device, runs, *extra = sys.argv[1:]
        with np.load(feeds, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(Path(model), arrays, Target(device=Device(device), threads=int(threads)), int(runs), tuple(extra))

    def report(self, load: Callable[[], Callable[[Feeds], object]], allocated: Callable[[], int] | None = None) -> None:
        """Load the model and run it. Print the resident bytes before, and the peak since.

        On an accelerator these are 0 and the result of `allocated`, the peak of the runtime's allocations there.
        """
        before, _ = resident_bytes()
        run = load()
        for _ in range(self.runs):
            run(self.feeds)
        _, peak = resident_bytes()
        if allocated is not None and self.target.device is not Device.CPU:
            before, peak = 0, allocated()
        print(before, peak)
