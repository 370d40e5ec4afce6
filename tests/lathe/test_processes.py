"""Processes end together: by a signal, by an error, by the death of one of them, and when the parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from lathe.env import PROJECT_ROOT
from lathe.processes import Child, ChildDied, StopRequested, Supervisor, python, python_path, stop
from tests.waiting import wait_until_gone

pytestmark = pytest.mark.portable

SLEEPER = python("-c", "import time; time.sleep(600)")
STUBBORN = python(
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
)
PARENT_OF_ONE = python(
    "-c",
    "import subprocess, sys, time;"
    "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
    "print(grandchild.pid, flush=True); time.sleep(600)",
)


def first_line(supervisor: Supervisor, child: Child) -> str:
    """What the child has written to its log first."""
    assert child.log is not None
    log: Path = child.log
    supervisor.wait_until(lambda: log.exists() and "\n" in log.read_text(), child.name, timeout_s=20)
    return log.read_text().splitlines()[0]


def test_leaving_the_block_ends_every_child():
    with Supervisor() as supervisor:
        pids = [supervisor.start(Child(name, SLEEPER)).process.pid for name in ("one", "two")]
        supervisor.check()
    wait_until_gone(*pids)


def test_an_error_ends_every_child():
    with pytest.raises(ZeroDivisionError), Supervisor() as supervisor:
        pid = supervisor.start(Child("one", SLEEPER)).process.pid
        _ = 1 / 0
    wait_until_gone(pid)


def test_death_of_one_child_is_told_and_ends_the_others():
    with pytest.raises(ChildDied) as caught, Supervisor() as supervisor:
        survivor = supervisor.start(Child("one", SLEEPER)).process.pid
        supervisor.start(Child("two", python("-c", "raise SystemExit(3)")))
        supervisor.wait(timeout_s=20)
    assert str(caught.value) == "two has ended (exit code 3), so all processes are being stopped."
    wait_until_gone(survivor)


def test_a_killed_child_is_told_by_the_name_of_the_signal():
    with pytest.raises(ChildDied, match=r"one has ended \(killed by SIGKILL\)"), Supervisor() as supervisor:
        supervisor.start(Child("one", SLEEPER)).signal(signal.SIGKILL)
        supervisor.wait(timeout_s=20)


def test_a_signal_asks_for_the_end_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StopRequested), Supervisor() as supervisor:
        pid = supervisor.start(Child("one", SLEEPER)).process.pid
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.wait(timeout_s=20)
    wait_until_gone(pid)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_child_that_does_not_listen_is_killed(tmp_path):
    with Supervisor() as supervisor:
        child = supervisor.start(Child("one", STUBBORN, log=tmp_path / "log"))
        assert first_line(supervisor, child) == "ready"
        stop(child, grace_s=0.3, leftovers_s=0.1)
        wait_until_gone(child.process.pid)


def test_grandchildren_in_groups_of_their_own_end_too(tmp_path):
    with Supervisor() as supervisor:
        child = supervisor.start(Child("one", PARENT_OF_ONE, log=tmp_path / "log"))
        grandchild = int(first_line(supervisor, child))
        assert psutil.pid_exists(grandchild)
    wait_until_gone(grandchild)


def test_wait_until_gives_up_with_a_sentence():
    with pytest.raises(TimeoutError, match="The moon did not start within 0 s"), Supervisor() as supervisor:
        supervisor.wait_until(lambda: False, "The moon", timeout_s=0.1)


def test_wait_until_does_not_wait_for_the_dead():
    with pytest.raises(ChildDied), Supervisor() as supervisor:
        supervisor.start(Child("one", python("-c", "pass")))
        supervisor.wait_until(lambda: False, "The moon", timeout_s=30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children of their parent's death")
def test_children_end_when_their_parent_is_killed():
    script = textwrap.dedent("""
        from lathe.processes import Child, Supervisor, python
        with Supervisor() as supervisor:
            child = supervisor.start(Child("one", python("-c", "import time; time.sleep(600)")))
            print(child.process.pid, flush=True)
            supervisor.wait()
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until_gone(child)


def test_children_find_the_project_and_pythons_own_platform_module(tmp_path):
    log = tmp_path / "log"
    child = Child(
        "one", python("-c", "import platform, lathe, apps; print(platform.system(), lathe.__name__)"), log=log
    )
    child.start()
    assert child.process.wait(timeout=60) == 0
    assert log.read_text().split() == [os.uname().sysname, "lathe"]
