"""A large file travels through the web process without living in it. The benchmark of the same takes two gigabytes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lathe.env import PROJECT_ROOT


@pytest.mark.slow
@pytest.mark.parametrize("way", ["chunks", pytest.param("multipart", marks=pytest.mark.nightly)])
def test_a_large_upload_and_its_download_stay_out_of_memory(way: str):
    command = [sys.executable, "-m", "benchmarks.upload_memory", "--size", "200MiB", "--way", way]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LATHE_", "DJANGO_"))}
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "growth" in done.stdout
