"""The tests run in a user's environment: a variable of a developer's shell must not hide what users meet."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lathe.checks import misspelt

ROOT = Path(__file__).resolve().parents[2]
BARE = ROOT / "tests" / "bare.sh"


def kept(**environment: str) -> dict[str, str]:
    """What a command run by the script finds in its environment."""
    given = {"HOME": "/home/me", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}
    told = subprocess.run([BARE, "/usr/bin/env", "-0"], env=given, capture_output=True, text=True, check=True).stdout
    pairs = (pair.partition("=") for pair in told.split("\0") if pair)
    return {name: value for name, _, value in pairs}


def test_what_a_users_shell_does_not_set_is_left_out() -> None:
    found = kept(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="/x", DATABASE_URL="postgres://x", LATHE_DEBUG="1", TERM="x")
    assert found == {"HOME": "/home/me", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_the_settings_of_pip_and_of_the_tests_stay_with_blanks_and_line_ends() -> None:
    asked = {"PIP_FIND_LINKS": "/a b\n/c", "LATHE_TEST_REDIS_URL": "redis://x", "LATHE_ASSETS": "/cache"}
    assert kept(**asked).items() >= asked.items()


def test_every_run_of_pytest_that_the_makefile_starts_goes_through_it() -> None:
    runs = [line for line in (ROOT / "Makefile").read_text().splitlines() if re.search(r"BIN\)/pytest", line)]
    assert len(runs) == 8
    assert all("$(BARE) $(BIN)/pytest" in line for line in runs)


def test_the_run_before_a_change_lands_starts_itself_anew_in_it() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    first = script.index("exec tests/bare.sh bash .ci/run bare")
    assert first < script.index("\nmake ")


def test_what_the_run_itself_sets_is_no_misspelt_variable_to_the_checks() -> None:
    """A warning of `manage.py check` fails the run: a variable that the run sets must be none of them."""
    script = (ROOT / ".ci" / "run").read_text()
    read = set(re.findall(r"LATHE_[A-Z_]+", script + (ROOT / "tests" / "bare.sh").read_text()))
    assert read >= {"LATHE_TEST_DATABASE_URL", "LATHE_CI_DATABASE_URL", "LATHE_ASSETS"}
    assert [warning.msg for warning in misspelt(dict.fromkeys(read, "x"), frozenset())] == []
