from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.measuring.machine import describe_machine, installed_versions, instruction_sets, usable_cores

CPU_INFO = """processor : 0
model name\t: AMD EPYC 9999
flags\t\t: fpu sse2 avx avx2 avx512_vnni xsaves

processor : 1
model name\t: AMD EPYC 9999
flags\t\t: fpu
"""


def _root(tmp_path: Path, **files: str) -> Path:
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_a_machine_is_described_from_the_kernels_files(tmp_path: Path) -> None:
    root = _root(tmp_path, proc__cpuinfo=CPU_INFO, proc__meminfo="MemTotal:       8000 kB\n")
    machine = describe_machine(root)
    assert machine.cpu == "AMD EPYC 9999"
    assert machine.flags == ("avx", "avx2", "avx512_vnni")
    assert machine.memory_bytes == 8000 * 1024
    assert machine.accelerators == ()
    assert machine.cores >= 1


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_container_uses_no_more_cores_than_it_has_time_of(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert usable_cores(_root(tmp_path, **files)) == cores


def test_a_control_groups_limit_is_what_counts(tmp_path: Path) -> None:
    root = _root(tmp_path, proc__meminfo="MemTotal: 8000 kB\n", **{"sys__fs__cgroup__memory.max": "1000000\n"})
    assert describe_machine(root).memory_bytes == 1_000_000
    (root / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert describe_machine(root).memory_bytes == 8000 * 1024


def test_accelerators_are_those_the_driver_lists(tmp_path: Path) -> None:
    root = _root(
        tmp_path, **{"proc__driver__nvidia__gpus__0000:01:00.0__information": "Model: \t NVIDIA H100\nIRQ: 1\n"}
    )
    assert describe_machine(root).accelerators == ("NVIDIA H100",)


def test_arm_calls_its_flags_features() -> None:
    assert instruction_sets("Features : fp asimd asimddp i8mm\n") == ("asimd", "asimddp", "i8mm")


def test_a_machine_without_such_files_is_described_all_the_same(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)
    assert machine.cpu
    assert machine.memory_bytes > 0
    assert machine.flags == ()


def test_versions_are_of_what_is_installed() -> None:
    assert set(installed_versions(["pydantic", "no-such-distribution"])) == {"pydantic"}


def test_this_machine_has_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "onnxruntime" in describe_machine().libraries
