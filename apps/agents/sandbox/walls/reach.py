"""What a child may reach: its job's files, its scratch folder, Python, the libraries, and harmless system files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from glob import glob
from pathlib import Path

from apps.agents.contracts.job import Job
from apps.agents.sandbox.walls.landlock import OWN, READ, RUN, USE, Rule

_PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store")
_OF_DEVICES = ("/opt/cuda*", "/opt/nvidia*", "/opt/rocm*")
"""Where the libraries of accelerators are, besides `/usr`."""
_SETTINGS = (
    *("alternatives", "fonts", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("mime.types", "nsswitch.conf", "OpenCL", "passwd", "ssl/certs", "ssl/openssl.cnf", "timezone", "vulkan"),
)
"""In `/etc`, what libraries read. All of it is readable to everyone on a usual system."""
_MACHINE = ("/sys/bus", "/sys/class", "/sys/devices", "/sys/fs/cgroup", "/sys/kernel/mm", "/sys/module", "/proc")
"""Processors, memory, load. Of other processes in `/proc`, Landlock shuts all that takes the right to trace them."""
_OF_PYTHON = frozenset({".py", ".so", ".dist-info", ".egg-info"})
_DEVICES = ("null", "zero", "full", "random", "urandom", "nvidia*", "dri", "kfd")


def rules(job: Job) -> Iterator[Rule]:
    """What the child of `job` may do with which paths."""
    yield from everywhere()
    for path in job.inputs.values():
        yield Rule(path, READ)
    yield Rule(job.scratch, OWN)


def readable(path: Path) -> bool:
    """Whether every child can read what is at `path`, whatever its job."""
    found = path.resolve()
    return any(found.is_relative_to(rule.path.resolve()) for rule in everywhere())


def linked_packages(folder: Path) -> Path:
    """A folder in `folder` with links to the packages that are found by Python's path, but not among the libraries.

    A path is searched by listing its folders. Those of a project may contain more than code, so they stay shut.
    """
    links = folder / "packages"
    links.mkdir(exist_ok=True)
    for package in _packages():
        link = links / package.name
        if not link.is_symlink():
            link.symlink_to(package)
    return links


@cache
def everywhere() -> tuple[Rule, ...]:
    """What every child may read, whatever its job."""
    devices = [path for name in _DEVICES for path in sorted(glob(f"/dev/{name}"))]
    libraries = [path for pattern in _OF_DEVICES for path in sorted(glob(pattern))]
    return (
        *(Rule(Path(path), RUN) for path in (*_PROGRAMS, *libraries, *_prefixes())),
        *(Rule(path, READ) for path in _packages()),
        *(Rule(Path("/etc", name), READ) for name in _SETTINGS),
        *(Rule(Path(path), READ) for path in _MACHINE),
        *(Rule(Path(path), USE) for path in devices),
    )


def _prefixes() -> tuple[str, ...]:
    """Python's own folders, and those of installed packages outside them."""
    installed = (path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    return tuple(dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *installed)))


@cache
def _packages() -> tuple[Path, ...]:
    """Packages and modules in the other folders of Python's path, and what an installer has written about them. The
    first of each name counts, as for an import."""
    found: dict[str, Path] = {}
    for folder in sys.path:
        place = Path(folder)
        if folder and not any(place.is_relative_to(prefix) for prefix in _prefixes()):
            for path in _entries(place):
                if path.suffix in _OF_PYTHON or os.path.isfile(path / "__init__.py"):
                    found.setdefault(path.name, path.resolve())
    return tuple(found.values())


def _entries(folder: Path) -> list[Path]:
    """What is in `folder`; nothing if it cannot be listed, as for an import."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
