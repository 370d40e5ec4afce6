"""The machine that measures: its hardware, instruction sets, and installed library versions.

Reads the kernel's files and package metadata, and imports nothing heavy. A worker's heartbeat uses it as well.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from apps.agents.contracts.reports.machine import Machine

LIBRARIES = (
    *("onnx", "onnxruntime", "onnxruntime-gpu", "onnxscript", "numpy", "torch", "torch-pruning", "transformers"),
    *("bitsandbytes", "autoawq", "tensorflow", "keras", "safetensors", "scipy"),
)
"""Distributions whose version affects measurements."""
BUILDS = {"onnxruntime": ("onnxruntime-gpu",)}
"""Distributions under another name that install the same modules, for machines with an accelerator."""

FLAGS = frozenset(
    (
        *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
        *("avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
        *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm"),
    )
)
"""Instruction sets that decide which kernels are fast, in Linux's spelling on x86 and Arm."""


def describe_machine(root: Path = Path("/")) -> Machine:
    """This machine for a report. `proc` and `sys` are read under `root`."""
    cpu_info = _read(root / "proc/cpuinfo")
    return Machine(
        hostname=platform.node(),
        cpu=_cpu(cpu_info),
        cores=usable_cores(root / "sys/fs/cgroup"),
        memory_bytes=_memory_bytes(root),
        flags=instruction_sets(cpu_info),
        accelerators=_accelerators(root),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        libraries=installed_versions(LIBRARIES),
    )


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those distributions in `names` that are installed, themselves or as one of their `BUILDS`."""
    found = {name: _installed(name) for name in names}
    return {name: one[1] for name, one in found.items() if one is not None}


def requirement(name: str) -> str:
    """What is installed of a distribution, for pip: `onnxruntime-gpu==1.31.1`. Raises `PackageNotFoundError`."""
    found = _installed(name)
    if found is None:
        raise metadata.PackageNotFoundError(name)
    return "==".join(found)


def _installed(name: str) -> tuple[str, str] | None:
    """Name and version of the distribution that is installed: this one, or one of its `BUILDS`."""
    for one in (name, *BUILDS.get(name, ())):
        try:
            return one, metadata.version(one)
        except metadata.PackageNotFoundError:
            continue
    return None


def instruction_sets(cpu_info: str) -> tuple[str, ...]:
    """The instruction sets of `FLAGS` that `/proc/cpuinfo` lists for its first core."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpu_info, re.MULTILINE)
    return tuple(sorted(FLAGS.intersection(match[1].split()))) if match else ()


def usable_cores(control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use: those it is bound to, and no more than its container has time of."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share_of_time(control_groups)
    return bound if share is None else max(1, min(bound, math.ceil(share)))


def _share_of_time(control_groups: Path) -> float | None:
    """How many cores' time the control group has, by either version of its interface; `None` without a limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((control_groups / name).read_text() for name in names).split()
            return float(quota) / float(period) if float(quota) > 0 else None
        except (OSError, ValueError):  # Without a limit it says "max".
            continue
    return None


def _cpu(cpu_info: str) -> str:
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpu_info, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine() or "unknown"


def _memory_bytes(root: Path) -> int:
    """Memory that this process may use: the machine's, or less if a control group limits it."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    total = int(match[1]) * 1024 if match else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(root / "sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _accelerators(root: Path) -> tuple[str, ...]:
    """Names of the NVIDIA devices that the driver lists."""
    found = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", _read(file), re.MULTILINE)
        found.append(match[1].strip() if match else "NVIDIA device")
    return tuple(found)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
