"""The lock of workers with an accelerator, from which no environment of ours is made: every pin can be installed.

What it shares with `worker-cpu` is installed wherever the tests run. The rest is some gigabytes, so pip asks the
package index whether it has a wheel of that version for this Python and this Linux; nothing is downloaded.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from requirements.lock import LOCKS, environment_of
from tests.boundaries.test_dependencies import locked

(GPU,) = (lock for lock in LOCKS if lock.with_cuda)
FURTHER = sorted(locked(GPU.name).items() - locked("worker-cpu").items())


def versions(package: str) -> set[str]:
    """Those that pip could install."""
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--json", "--only-binary=:all:"]
    told = subprocess.run(command, env=environment_of(GPU), capture_output=True, text=True, check=False, timeout=120)
    if told.returncode and "No matching distribution" not in told.stderr:
        pytest.skip(f"the package index cannot be asked: {told.stderr.strip().splitlines()[-1]}")
    return set(json.loads(told.stdout)["versions"]) if told.stdout else set()


def test_there_is_something_to_ask_for() -> None:
    assert {"triton", "onnxruntime-gpu", "nvidia-cudnn-cu13"} <= dict(FURTHER).keys()


@pytest.mark.nightly
@pytest.mark.parametrize(("package", "version"), FURTHER, ids=lambda one: one)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="CUDA's packages are asked for as x86_64 has them")
def test_the_index_has_each_pin(package: str, version: str) -> None:
    assert version in versions(package)


@pytest.mark.nightly
def test_a_version_that_there_is_not_would_be_found() -> None:
    assert "0.0.0.1" not in versions("triton")
