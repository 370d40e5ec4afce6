"""What a machine says about its devices, and whether runtimes compute there."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.contracts.acceleration import Acceleration, AcceleratorDevice, RuntimeOnDevice
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.formats import Framework
from apps.agents.measuring import acceleration, nvidia
from apps.agents.measuring.stopwatch import stopwatch_for
from tests.agents.measuring import fake_nvidia
from tests.agents.measuring.fake_nvidia import FIRST, GIB, SECOND


def test_without_a_driver_there_is_no_device_and_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(acceleration, "tried", None)
    assert acceleration.acceleration() == Acceleration()
    assert nvidia.free_bytes(FIRST) is None
    assert nvidia.clocks(FIRST) == "clock rates unknown"


def test_devices_come_with_memory_capability_and_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fake_nvidia.install(tmp_path, monkeypatch)
    first, second = nvidia.devices()
    assert first == AcceleratorDevice(
        uuid=FIRST, name="NVIDIA H100", memory_bytes=80 * GIB, compute_capability="9.0", driver="580.95"
    )
    assert second.uuid == SECOND
    assert nvidia.free_bytes(SECOND) == 80_000 * 2**20
    assert nvidia.clocks(FIRST) == "driver 580.95, cores at 1980 MHz, memory at 2619 MHz"


def test_of_memory_that_it_shares_with_the_cpu_a_device_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fake_nvidia.install(tmp_path, monkeypatch, unified=True)
    assert [one.memory_bytes for one in nvidia.devices()] == [None, None]
    assert nvidia.free_bytes(FIRST) is None
    assert nvidia.clocks(FIRST) == "driver 580.95, cores at 1980 MHz, memory at an unknown rate"


def test_what_the_host_times_on_a_device_comes_with_driver_and_clock_rates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    fake_nvidia.install(tmp_path, monkeypatch)
    watch = stopwatch_for((object(), object()), Target(device=Device.CUDA))
    assert watch.describe() == "the host's clock; driver 580.95, cores at 1980 MHz, memory at 2619 MHz"
    assert stopwatch_for((object(), object()), Target()).describe() == ""


@pytest.mark.parametrize(
    ("named", "visible"),
    [
        (SECOND, [SECOND]),
        ("GPU-2222", [SECOND]),
        ("1,0", [SECOND, FIRST]),
        ("0,7,1", [FIRST]),
        ("", []),
        ("-1", []),
    ],
)
def test_a_process_sees_the_devices_that_it_is_bound_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, visible: list[str]
):
    fake_nvidia.install(tmp_path, monkeypatch)
    monkeypatch.setenv(nvidia.VISIBLE, named)
    assert [one.uuid for one in nvidia.devices()] == visible


def test_a_runtime_for_the_cpu_says_that_it_does_not_compute_on_the_device():
    """The probe itself runs: where there is no device, and where there is one with ONNX Runtime's build for CPUs."""
    found = acceleration.tried(Framework.ONNX)
    assert found.providers[-1] == "CPUExecutionProvider"
    if "CUDAExecutionProvider" not in found.providers:
        assert not found.computes
        assert found.reason.startswith("its ONNX Runtime is a build for the CPU, with")


def test_a_probe_that_fails_is_a_runtime_that_does_not_compute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(acceleration.PROBES, Framework.TORCH, "apps.agents.no_such_module")
    found = acceleration.tried(Framework.TORCH)
    assert not found.computes
    assert "No module named" in found.reason


def test_obstacles_are_named_by_framework():
    device = AcceleratorDevice(uuid=FIRST, name="H100", memory_bytes=1, compute_capability="9.0", driver="1")
    torch = RuntimeOnDevice(framework=Framework.TORCH, computes=True)
    onnx = RuntimeOnDevice(framework=Framework.ONNX, computes=False, reason="it is a build for the CPU")
    known = Acceleration(devices=(device,), runtimes=(torch, onnx))
    assert known.obstacle(Framework.TORCH) is None
    assert known.obstacle(Framework.ONNX) == "it is a build for the CPU"
    assert known.obstacle(Framework.LITERT) == "TensorFlow Lite has no runtime for devices there"
    assert Acceleration().obstacle(Framework.TORCH) == "it reports no device"


@pytest.mark.gpu
@pytest.mark.parametrize("framework", [Framework.ONNX, Framework.TORCH])
def test_runtimes_compute_on_the_device(framework: Framework):
    """ONNX Runtime only where the lock of workers with an accelerator is installed."""
    found = acceleration.tried(framework)
    if framework is Framework.ONNX and "CUDAExecutionProvider" not in found.providers:
        pytest.skip(found.reason)
    assert found.computes, found.reason
