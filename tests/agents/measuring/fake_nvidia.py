"""A driver's tool for tests: `nvidia-smi` as a script on the path, which knows two devices."""

from __future__ import annotations

from pathlib import Path

import pytest

FIRST, SECOND = "GPU-11111111-aaaa", "GPU-22222222-bbbb"
GIB = 2**30
_SCRIPT = """#!{python}
import sys
fields = next(one for one in sys.argv if one.startswith("--query-gpu=")).partition("=")[2].split(",")
wanted = [one.partition("=")[2] for one in sys.argv if one.startswith("--id=")]
devices = [
    {{"uuid": uuid, "name": "NVIDIA H100", "memory.total": "{total}", "memory.free": "{free}", "compute_cap": "9.0",
      "driver_version": "580.95", "clocks.sm": "1980", "clocks.mem": "{clock}"}}
    for uuid in ("{first}", "{second}")
]
for one in devices:
    if not wanted or one["uuid"] in wanted:
        print(", ".join(one[field] for field in fields))
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, free_mib: int = 80_000, unified: bool = False) -> None:
    """Puts the tool first on the path. Of `unified` memory, which is the CPU's, the driver says nothing."""
    memory = {"total": "[N/A]", "free": "[N/A]", "clock": "[N/A]"}
    if not unified:
        memory = {"total": "81920", "free": str(free_mib), "clock": "2619"}
    tool = folder / "driver" / "nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(_SCRIPT.format(python="/usr/bin/env python3", first=FIRST, second=SECOND, **memory))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
