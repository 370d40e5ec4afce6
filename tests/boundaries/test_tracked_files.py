"""What the repository holds: text that people wrote, and the few other files that have a place of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("samples", "docs", "static", "templates", "locale", "tests/screenshots")
"""Where pictures, models, data and compiled catalogues belong. What a library leaves where it was started does not."""


def test_files_that_are_not_text_stand_where_they_belong():
    tracked = tracked_files()
    strays = [name for name in tracked if not name.startswith(PLACES) and not is_text(ROOT / name)]
    assert not strays


def tracked_files() -> list[str]:
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("git and a clone are needed to know what is tracked")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def is_text(path: Path) -> bool:
    try:
        return "\0" not in path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    except FileNotFoundError:  # Deleted, and not committed yet.
        return True
