"""How much memory a model takes: measured in a process that holds a runtime, the feeds and one model, nothing else."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed

RUNS = 3
TIMEOUT_S = 300.0
KIB = 1024


def measure(
    probe: str, model: Path, feeds: Path, target: Target, *, runs: int = RUNS, extra: Sequence[str] = ()
) -> int:
    """How many bytes of resident memory loading `model` and running it `runs` times takes at its peak.

    Method: a fresh process runs the module `probe` (see `peak_memory_process`). It imports the runtime and reads
    the feeds, notes its resident size, loads the model, runs it, and prints both that size and the kernel's high-water
    mark (VmHWM) since. The difference is the model's: weights, copies, and the arena for activations.

    Raises `ModelRunFailed` where the process fails or takes more than five minutes.
    """
    command = [sys.executable, "-m", probe, str(model), str(feeds), str(target.threads), target.device.value, str(runs)]
    command += extra
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True, cwd=_source_root()
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRunFailed(reason=f"measuring memory took more than {TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        last = lines[-1] if lines else f"exit status {error.returncode}"
        raise ModelRunFailed(reason=f"the process that measures memory ended: {last[:300]}") from error
    before, peak = (int(part) for part in done.stdout.split()[-2:])
    return max(0, peak - before)


def resident_bytes() -> tuple[int, int]:
    """Resident now and at its highest, from the kernel's account of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status.read_text(), re.MULTILINE))
        return int(found["VmRSS"]) * KIB, int(found["VmHWM"]) * KIB
    # Without /proc only the highest is known: bytes on macOS, KiB elsewhere.
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else KIB)
    return highest, highest


def _source_root() -> Path:
    """Where `-m apps…` resolves from, installed or not."""
    return Path(__file__).resolve().parents[3]
