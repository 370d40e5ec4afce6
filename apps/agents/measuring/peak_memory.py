"""The memory that a model takes, measured in a process that holds only a runtime, the feeds and one model."""

from __future__ import annotations

import re
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.measuring.engine import Feeds
from apps.agents.measuring.protocol import stored_feeds
from apps.agents.sandbox.programs import SOURCE_ROOT, run_to_end

RUNS = 3
TIMEOUT_S = 300.0
KIB = 1024


def measure(
    probe: str, model: Path, feeds: Feeds, target: Target, *, runs: int = RUNS, extra: Sequence[str] = ()
) -> int:
    """Peak resident memory, in bytes, of loading `model` and running it `runs` times.

    Method: a fresh process runs the module `probe` (see `peak_memory_process`). It imports the runtime and reads the
    feeds, notes its resident size, loads the model, runs it, and prints both that size and the kernel's high-water mark
    (VmHWM) since then. The difference belongs to the model: weights, copies, and the arena for activations.

    Raises `ModelRunFailed` if the process fails or takes more than five minutes.
    """
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        given = (model, stored_feeds(feeds, Path(folder)), target.threads, target.device.value, runs, *extra)
        command = [sys.executable, "-m", probe, *map(str, given)]
        ended = run_to_end(command, folder=SOURCE_ROOT, limit_s=TIMEOUT_S)
    if not ended.well:
        raise ModelRunFailed(reason=f"the process that measures memory {ended.reason}")
    before, peak = (int(part) for part in ended.output.split()[-2:])
    return max(0, peak - before)


def resident_bytes() -> tuple[int, int]:
    """Current and peak resident bytes of this process, as the kernel counts them."""
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status.read_text(), re.MULTILINE))
        return int(found["VmRSS"]) * KIB, int(found["VmHWM"]) * KIB
    # Without /proc only the peak is known: bytes on macOS, KiB elsewhere.
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIB)
    return highest, highest
