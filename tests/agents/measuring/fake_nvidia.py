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
    {{"uuid": uuid, "name": "NVIDIA H100", "memory.total": "81920", "memory.free": "{free_mib}", "compute_cap": "9.0",
      "driver_version": "580.95", "clocks.sm": "1980", "clocks.mem": "2619"}}
    for uuid in ("{first}", "{second}")
]
for one in devices:
    if not wanted or one["uuid"] in wanted:
        print(", ".join(one[field] for field in fields))
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, free_mib: int = 80_000) -> None:
    """Puts the tool first on the path."""
    tool = folder / "driver" / "nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(_SCRIPT.format(python="/usr/bin/env python3", free_mib=free_mib, first=FIRST, second=SECOND))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
