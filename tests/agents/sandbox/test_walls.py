"""Children that try to get out, with each of the kernel's means and with all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from apps.agents.contracts.job import Event, Job, LogLine
from apps.agents.contracts.sandbox import Level, Sandbox, SandboxRule
from apps.agents.sandbox import preloading
from apps.agents.sandbox.process import JobFailed, Limits, run_job
from apps.agents.sandbox.walls import closing, landlock, namespaces, seccomp
from tests.agents import escapes
from tests.agents.aims import FILE_BYTES, aims_in
from tests.agents.escapes import Aims
from tests.waiting import wait_until_gone

HERE = closing.detect()
ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these walls")
needs_files = pytest.mark.skipif(not HERE.files, reason="this kernel has no Landlock of version 2 or later")
needs_filter = pytest.mark.skipif(not HERE.call_filter, reason="this kernel does not filter system calls")

FILES = {
    *("reads_the_secret_key", "reads_the_database", "reads_another_teams_blob", "lists_the_var_folder"),
    *("writes_outside_scratch", "writes_to_the_home_of_the_worker", "changes_a_file", "empties_a_file"),
    *("moves_a_file_in", "opens_a_file_by_a_link", "removes_a_file"),
    *("reads_the_workers_environment", "reads_the_workers_memory", "opens_the_workers_files", "traces_a_process"),
}
"""What Landlock shuts in every version that is used. It guards what another process has as it guards tracing it."""
CALLS = {
    *("connects_by_tcp", "sends_a_datagram", "listens", "connects_to_a_socket_in_a_folder"),
    *("sends_to_a_socket_in_a_folder", "connects_to_an_abstract_socket", "traces_a_process", "limits_a_process"),
    *("empties_a_file", "changes_a_mode", "changes_a_time", "gives_a_file_an_attribute", "changes_the_flags_of_a_file"),
    *("takes_an_attribute_from_a_file", "leaves_its_group", "becomes_root_of_a_namespace", "makes_a_ring_of_calls"),
    *("takes_memory_that_no_limit_counts",),
}
"""What the filter of system calls shuts."""
SIGNALS = {"signals_the_worker", "ends_a_process", "connects_to_an_abstract_socket"}
LIMITS = Limits(file_bytes=FILE_BYTES)
ALWAYS = {"may_gain_privileges", "writes_a_file_without_end"}


@pytest.fixture(params=["forked", "spawned"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "spawned":
        monkeypatch.setattr(preloading, "SUPPORTED", False)
    return str(request.param)


@pytest.fixture
def aims(tmp_path: Path) -> Iterator[Aims]:
    (tmp_path / "aims").mkdir()
    with aims_in(tmp_path / "aims") as aims:
        yield aims


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def never() -> bool:
    return False


def run(name: str, scratch: Path, aims: Aims | None = None, limits: Limits = LIMITS) -> object:
    job = Job(handler=f"tests.agents.hostile:{name}", scratch=scratch, arguments=aims or {})
    return run_job(job, on_event=print, should_stop=never, limits=limits, poll_s=0.05).body


def ways_out(scratch: Path, aims: Aims) -> set[str]:
    body = run("try_everything", scratch, aims)
    assert isinstance(body, dict)
    return set(body["open"])


def only(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Children are closed in with nothing but `sandbox`."""
    monkeypatch.setattr(closing, "detect", lambda: sandbox)


def test_without_a_sandbox_every_way_is_open_but_those_that_need_none(
    scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So each attempt is a real one."""
    only(monkeypatch, Sandbox())
    found = ways_out(scratch, aims)
    # Not every user may do these, and the kernel of a container forbids them to everybody.
    depends = {"traces_a_process", "becomes_root_of_a_namespace", "makes_a_ring_of_calls", "reads_the_workers_memory"}
    depends |= {"reads_the_workers_environment", "opens_the_workers_files", "moves_a_file_in", "limits_a_process"}
    # Nor does every kernel or file system have these.
    depends |= {"gives_a_file_an_attribute", "takes_an_attribute_from_a_file", "changes_the_flags_of_a_file"}
    depends |= {"takes_memory_that_no_limit_counts"}
    assert found | depends == (escapes.names() - ALWAYS) | depends


@pytest.mark.skipif(HERE.level is not Level.FULL, reason=f"the sandbox of this kernel is {HERE.level.value}")
@pytest.mark.parametrize("handler", ["try_everything", "try_everything_in_a_process", "try_everything_in_a_thread"])
def test_at_the_full_level_no_way_is_open_and_the_honest_part_works(
    handler: str, scratch: Path, aims: Aims, way: str
) -> None:
    body = run(handler, scratch, aims)
    assert body in ({"open": []}, {"open": "[]"})
    assert handler != "try_everything" or (scratch / "out" / "copied.txt").read_text() == "work"
    assert Path(aims["victim"]).read_text() == "the victim"
    assert psutil.pid_exists(aims["bystander"])


@needs_files
@pytest.mark.parametrize("version", range(2, 8))
def test_landlock_alone_shuts_files(version: int, scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch) -> None:
    if version > HERE.landlock_abi:
        pytest.skip(f"this kernel has version {HERE.landlock_abi} of Landlock")
    only(monkeypatch, Sandbox(landlock_abi=version, call_filter=version < 3))
    found = ways_out(scratch, aims)
    assert not found & (FILES | ALWAYS)
    assert ("connects_by_tcp" in found) == (3 <= version < 4)
    assert ("ends_a_process" in found) == (version < 6)
    if version >= 6:
        assert not found & SIGNALS


@needs_filter
def test_the_filter_alone_shuts_the_network(scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Sandbox(call_filter=True))
    found = ways_out(scratch, aims)
    assert not found & (CALLS | ALWAYS)
    assert "reads_the_secret_key" in found


@pytest.mark.skipif(not namespaces.allowed(), reason="this system gives no process a network of its own")
def test_a_network_of_its_own_has_no_way_out(scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Sandbox(namespace=True))
    found = ways_out(scratch, aims)
    assert not found & {"connects_by_tcp", "sends_a_datagram", "connects_to_an_abstract_socket"}
    assert "connects_to_a_socket_in_a_folder" in found


@needs_filter
def test_too_many_processes_end_all_of_them(scratch: Path) -> None:
    told: list[int] = []

    def on_event(event: Event) -> None:
        assert isinstance(event, LogLine)
        told.append(int(event.message))

    job = Job(handler="tests.agents.hostile:multiply", scratch=scratch)
    with pytest.raises(JobFailed) as failed:
        run_job(job, on_event=on_event, should_stop=never, poll_s=0.05)
    assert (failed.value.code, failed.value.transient) == ("step.too_many_processes", False)
    assert len(told) > 256 // 50
    wait_until_gone(*told)


@needs_filter
def test_what_a_child_leaves_behind_ends_though_it_has_no_parent(scratch: Path) -> None:
    body = run("outlive", scratch)
    assert isinstance(body, dict)
    wait_until_gone(body["left"])


def test_a_file_has_a_limit_and_the_failure_says_so(scratch: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        run("write_too_much", scratch)
    assert (failed.value.code, failed.value.expected) == ("step.file_too_large", True)
    assert "1 MiB" in failed.value.message


def test_a_job_is_refused_where_a_sandbox_is_required_and_there_is_none(
    scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, Sandbox(landlock_abi=4))
    with pytest.raises(JobFailed) as failed:
        run("try_everything", scratch, aims, Limits(sandbox=SandboxRule.REQUIRED))
    assert (failed.value.code, failed.value.transient) == ("step.sandbox_unavailable", True)
    assert "use the network, except for TCP" in failed.value.message
    assert not (scratch / "out").exists()


@needs_files
def test_operators_can_do_without_and_it_is_called_none(scratch: Path, aims: Aims) -> None:
    body = run("try_everything", scratch, aims, replace(LIMITS, sandbox=SandboxRule.OFF))
    assert isinstance(body, dict)
    assert "connects_by_tcp" in body["open"]
    assert closing.means(SandboxRule.OFF).level is Level.NONE
    assert closing.means(SandboxRule.BEST) == closing.means(SandboxRule.REQUIRED) == HERE


def test_nothing_is_run_where_the_kernel_refuses_what_it_promised(
    scratch: Path, aims: Aims, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    only(monkeypatch, Sandbox(landlock_abi=1_000_000, call_filter=True))
    with pytest.raises(JobFailed) as failed:
        run("try_everything", scratch, aims)
    assert failed.value.code == "step.sandbox_unavailable"
    assert not (scratch / "out").exists()


def test_what_is_missing_is_told_in_words() -> None:
    assert Sandbox().level is Level.NONE
    assert len(Sandbox().gaps) == 3
    assert Sandbox(landlock_abi=7, call_filter=True).gaps == ()
    enough = Sandbox(landlock_abi=2, call_filter=True)
    assert (enough.level, enough.enough, len(enough.gaps)) == (Level.ENOUGH, True, 1)
    assert not Sandbox(landlock_abi=2).files, "a file could be emptied"
    assert not Sandbox(landlock_abi=1, call_filter=True).files
    assert Sandbox(namespace=True).gaps[1] == "connect to sockets in the file system (seccomp)"
    assert Sandbox(landlock_abi=7).level is Level.PARTIAL


def test_the_filter_is_whole_for_each_machine() -> None:
    """Every jump stays inside, and every name has its number."""
    for machine in seccomp.MACHINES.values():
        code = seccomp.program(machine)
        assert len(code) % 8 == 0
        length = len(code) // 8
        for index in range(length):
            kind, if_true, if_false = code[8 * index], code[8 * index + 2], code[8 * index + 3]
            assert kind == 0x06 or index + 1 + max(if_true, if_false) < length
        assert set(seccomp.REFUSED) <= machine.numbers.keys()
        assert len(set(machine.numbers.values())) == len(machine.numbers)


def test_landlock_tells_its_version() -> None:
    assert landlock.abi() == HERE.landlock_abi


HIDES = """
import ctypes
from apps.agents.sandbox.walls.privileges import hide
hide()
print(ctypes.CDLL(None).prctl(3))
"""


def test_a_process_that_hides_is_not_for_others_of_its_user_to_read() -> None:
    told = subprocess.run([sys.executable, "-c", HIDES], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "0"
