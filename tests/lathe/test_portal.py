"""`manage.py run` brings everything up on a bare machine, and takes everything down again."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from django.core.management import CommandError, call_command

from apps.agents.contracts.sandbox import Sandbox, SandboxRule
from apps.agents.contracts.state import ACTIVE
from lathe import portal
from lathe.env import PROJECT_ROOT, Environment
from lathe.processes import Supervisor
from tests.agents.measuring import fake_nvidia
from tests.processes import works_on_a_step

pytestmark = pytest.mark.portable

START_S = 120
END_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """A `manage.py run` of its own: its folder, its address, and all the processes below it."""

    def __init__(self, var_dir: Path, *options: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = var_dir.parent / "run.log"
        settings = {"LATHE_VAR_DIR": str(var_dir), "DJANGO_SETTINGS_MODULE": "lathe.settings"}
        bare = {name: value for name, value in os.environ.items() if name not in Environment.read({}).names}
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                [sys.executable, "manage.py", "run", "--port", str(port), *options],
                cwd=PROJECT_ROOT,
                env=bare | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_up(self) -> list[psutil.Process]:
        """All processes below the command, once the portal answers."""
        deadline = time.monotonic() + START_S
        while "Ctrl-C" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(f"{self.url}/health/", timeout=10) as answer:
            assert answer.status == 200
        return self.process.children(recursive=True)


@contextmanager
def running(tmp_path: Path, *options: str) -> Iterator[Running]:
    run = Running(tmp_path / "var", *options)
    try:
        yield run
    finally:
        if run.process.is_running():
            run.process.terminate()
        psutil.wait_procs([run.process], timeout=END_S)


def commands(processes: list[psutil.Process]) -> str:
    lines = []
    for process in processes:
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return "\n".join(lines)


def is_a_step(process: psutil.Process) -> bool:
    try:
        return works_on_a_step(process)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_ctrl_c_ends_every_process(tmp_path):
    with running(tmp_path) as run:
        below = run.wait_until_up()
        started = commands(below)
        assert all(name in started for name in ("redis-server", "uvicorn", "--queues default", "--queues cpu"))
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(timeout=END_S) == 0, run.log.read_text()
    _, left = psutil.wait_procs(below, timeout=5)
    assert commands(left) == ""
    assert "Lathe has stopped." in run.log.read_text()


@pytest.mark.slow
def test_the_demo_has_a_session_at_work_and_ctrl_c_ends_its_child_too(tmp_path):
    with running(tmp_path, "--demo") as run:
        below = run.wait_until_up()
        assert "Log in as demo@" in run.log.read_text()
        with closing(sqlite3.connect(tmp_path / "var" / "lathe.sqlite3")) as database:
            (status,) = database.execute("SELECT status FROM optimization_optimizationsession").fetchone()
        assert status in ACTIVE
        while not any(map(is_a_step, below)):
            time.sleep(0.1)
            below = run.process.children(recursive=True)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(timeout=END_S) == 0, run.log.read_text()
    _, left = psutil.wait_procs(below, timeout=5)
    assert commands(left) == ""


@pytest.mark.slow
def test_the_death_of_one_process_ends_all_and_says_which(tmp_path):
    with running(tmp_path) as run:
        below = run.wait_until_up()
        next(process for process in below if "uvicorn" in commands([process])).kill()
        assert run.process.wait(timeout=END_S) == 1
    _, left = psutil.wait_procs(below, timeout=5)
    assert commands(left) == ""
    assert "web has ended (killed by SIGKILL), so all processes are being stopped." in run.log.read_text()


@pytest.mark.slow
def test_nothing_survives_a_kill_of_the_command_itself(tmp_path):
    with running(tmp_path) as run:
        below = run.wait_until_up()
        run.process.kill()
        _, left = psutil.wait_procs(below, timeout=END_S)
    assert commands(left) == ""


def test_two_cannot_run_on_one_folder(tmp_path):
    with portal.only_one(tmp_path):
        with pytest.raises(portal.CannotStart, match=f"already running in {tmp_path}"), portal.only_one(tmp_path):
            pass
    with portal.only_one(tmp_path):
        pass


def test_a_port_in_use_is_named_and_a_default_one_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(portal.CannotStart, match=f"Port {port} is in use"):
            portal.free_address("127.0.0.1", port)
        assert portal.free_address("127.0.0.1", None, first=port).port > port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_address_can_be_typed_into_a_browser(host, url):
    assert portal.Address(host, 8000).url == url


def test_a_folder_of_redis_that_is_not_ours_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    environment = Environment.read({"LATHE_VAR_DIR": str(tmp_path)})
    with Supervisor() as supervisor, pytest.raises(portal.CannotStart, match="belongs to another user"):
        portal.prepare(supervisor, environment)


def test_the_workers_know_every_actor():
    assert set(portal.actor_modules()) >= {"apps.models.actors", "apps.optimization.actors"}


def test_only_queues_that_do_not_measure_have_several_threads():
    threads = {queue: portal.worker(queue).command[6] for queue in ("default", "checks", "cpu", "gpu")}
    assert threads == {"default": "4", "checks": "2", "cpu": "1", "gpu": "1"}


def environment_with(cores: str, var_dir: Path) -> Environment:
    return Environment.read({"LATHE_VAR_DIR": str(var_dir), "LATHE_CORES": cores})


def test_cores_that_the_machine_lacks_stop_the_start_with_what_would_be_right(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4}, raising=False)
    environment = environment_with("1-2,4", tmp_path)
    sentence = (
        "LATHE_CORES is '1-2,4', which is invalid: Lathe may use the cores 0-1,4 of this machine: name some of "
        "these, or none."
    )
    with Supervisor() as supervisor, pytest.raises(portal.CannotStart) as caught:
        portal.prepare(supervisor, environment)
    assert str(caught.value) == sentence
    settings.LATHE = environment
    with pytest.raises(CommandError) as told:
        call_command("worker")
    assert str(told.value) == sentence


def test_a_sandbox_that_is_required_and_missing_stops_the_start(tmp_path, monkeypatch, settings):
    environment = Environment.read({"LATHE_VAR_DIR": str(tmp_path), "LATHE_SANDBOX": "required"})
    portal.check_sandbox(environment, Sandbox(landlock_abi=2, call_filter=True))
    portal.check_sandbox(replace(environment, sandbox=SandboxRule.BEST), Sandbox())
    for module in ("lathe.portal", "lathe.management.commands.worker"):
        monkeypatch.setattr(f"{module}.means", lambda rule: Sandbox())
    with Supervisor() as supervisor, pytest.raises(portal.CannotStart, match="every file that the worker can"):
        portal.prepare(supervisor, environment)
    settings.LATHE = environment
    with pytest.raises(CommandError, match="set LATHE_SANDBOX=best to do without"):
        call_command("worker")


def test_cores_that_are_there_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4}, raising=False)
    portal.check_cores(environment_with("1,4", tmp_path))
    portal.check_cores(environment_with("", tmp_path))


def test_each_device_has_a_process_that_sees_no_other(tmp_path, monkeypatch):
    fake_nvidia.install(tmp_path, monkeypatch)
    started = list(portal.workers("gpu", tmp_path))
    assert [child.name for child in started] == ["worker-gpu-0", "worker-gpu-1"]
    assert [child.environment["CUDA_VISIBLE_DEVICES"] for child in started] == [fake_nvidia.FIRST, fake_nvidia.SECOND]
    assert [child.name for child in portal.workers("cpu")] == ["worker-cpu"]


def test_one_device_or_none_has_one_process(tmp_path, monkeypatch):
    fake_nvidia.install(tmp_path, monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    (child,) = portal.workers("gpu")
    assert (child.name, "CUDA_VISIBLE_DEVICES" in child.environment) == ("worker-gpu", False)
