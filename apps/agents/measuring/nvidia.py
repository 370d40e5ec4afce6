"""NVIDIA devices, as the driver's own tool describes them. Without the tool there are none.

The tool speaks of all devices of the machine. A process may be bound to some of them by CUDA_VISIBLE_DEVICES, which
names them by id or by number.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from apps.agents.contracts.acceleration import AcceleratorDevice

TOOL = "nvidia-smi"
TIMEOUT_S = 20.0
VISIBLE = "CUDA_VISIBLE_DEVICES"
MIB = 2**20


def devices() -> tuple[AcceleratorDevice, ...]:
    """The devices that this process may use, in the order in which libraries number them."""
    fields = ("uuid", "name", "memory.total", "compute_cap", "driver_version")
    found = [
        AcceleratorDevice(
            uuid=uuid, name=name, memory_bytes=_mebibytes(memory), compute_capability=capability, driver=driver
        )
        for uuid, name, memory, capability, driver in _asked(fields)
    ]
    return tuple(_visible(found, os.environ.get(VISIBLE)))


def free_bytes(uuid: str) -> int | None:
    """The device's memory that nobody has taken; `None` if the driver does not say."""
    rows = _asked(("memory.free",), uuid)
    return _mebibytes(rows[0][0]) if rows else None


def clocks(uuid: str) -> str:
    """The driver, and the device's current clock rates, in words."""
    rows = _asked(("driver_version", "clocks.sm", "clocks.mem"), uuid)
    if not rows:
        return "clock rates unknown"
    driver, *rates = rows[0]
    sm, memory = (f"at {rate} MHz" if rate.isdecimal() else "at an unknown rate" for rate in rates)
    return f"driver {driver}, cores {sm}, memory {memory}"


def _asked(fields: Sequence[str], uuid: str = "") -> list[list[str]]:
    """One row for each device, with a text for each field; no row if the tool is missing or fails."""
    command = [TOOL, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    if uuid:
        command.append(f"--id={uuid}")
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in output.splitlines()]
    return [row for row in rows if len(row) == len(fields)]


def _visible(found: Sequence[AcceleratorDevice], named: str | None) -> list[AcceleratorDevice]:
    """Those of `found` that CUDA_VISIBLE_DEVICES names. As in CUDA, a wrong word hides all that follow it."""
    if named is None:
        return list(found)
    visible: list[AcceleratorDevice] = []
    for word in named.split(","):
        device = _of_word(found, word.strip())
        if device is None:
            break
        visible.append(device)
    return visible


def _of_word(found: Sequence[AcceleratorDevice], word: str) -> AcceleratorDevice | None:
    if word.isdecimal():
        return found[int(word)] if int(word) < len(found) else None
    return next((one for one in found if word and one.uuid.startswith(word)), None)


def _mebibytes(text: str) -> int | None:
    """In bytes. `None` for what is not a number: a device that shares the CPU's memory says `[N/A]`."""
    return int(text) * MIB if text.isdecimal() else None
