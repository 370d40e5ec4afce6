"""One step at a time on a device, on a device that its model can run on, and with room in its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.acceleration import Acceleration
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import Job
from apps.agents.contracts.state import Status
from apps.agents.measuring import nvidia
from apps.agents.sandbox.process import JobFailed
from apps.optimization import devices, pipeline, runner, workers
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from apps.optimization.models.operation import ACCELERATION
from tests.agents.measuring import fake_nvidia
from tests.optimization import crank, material

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> Path:
    """A device on which PyTorch computes and ONNX Runtime as well; the folder is that of the driver's tool."""
    fake_nvidia.install(tmp_path, monkeypatch)
    monkeypatch.setattr(devices, "_here", lambda: material.acceleration(onnx=True))
    return tmp_path


@pytest.fixture
def step(session: OptimizationSession) -> SessionStep:
    pipeline.advance(session.pk)
    list(crank.messages())
    session.steps.update(queue="gpu")
    return session.steps.get()


def test_only_workers_of_the_queue_gpu_report_a_device() -> None:
    workers.report(["cpu"])
    assert Worker.objects.get().acceleration == Acceleration()
    workers.leave()
    workers.report(["gpu"])
    assert Worker.objects.get().acceleration == material.acceleration(onnx=True)


def test_a_device_is_held_by_one_step_and_the_cpu_by_any() -> None:
    with devices.reserved("gpu") as first, devices.reserved("gpu") as second, devices.reserved("cpu") as third:
        assert (first, second, third) == (True, False, True)
    with devices.reserved("gpu") as again:
        assert again


def test_a_step_whose_device_is_taken_stays_in_the_queue(step: SessionStep) -> None:
    with devices.reserved("gpu"):
        runner.run_step(step.pk)
    step.refresh_from_db()
    assert (step.status, step.attempt) == (Status.QUEUED, 0)
    assert [one.pk for one in SessionStep.objects.waiting()] == [step.pk]


@pytest.mark.parametrize("mine", [material.acceleration(onnx=False), Acceleration()])
def test_a_step_is_left_to_a_worker_on_whose_device_its_model_runs(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch, mine: Acceleration
) -> None:
    assert not devices.is_for_another(step)
    monkeypatch.setattr(devices, "_here", lambda: mine)
    assert not devices.is_for_another(step), "nobody else can, so this one says why not"
    machine = material.MACHINE.model_dump(mode="json")
    machine[ACCELERATION] = material.acceleration(onnx=True).model_dump(mode="json")
    Worker.objects.create(name="other:1", queues=["gpu"], machine=machine)
    assert devices.is_for_another(step)


def test_memory_that_others_have_taken_is_told_before_the_step_begins(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch, device: Path
) -> None:
    model = device / "model.onnx"
    model.write_bytes(bytes(10_000_000))
    job = Job(handler="", scratch=device, inputs={"model": model, "dataset": device / "data"})
    devices.require_room(step, job)
    fake_nvidia.install(device, monkeypatch, free_mib=530)
    with pytest.raises(JobFailed, match="needs 557 MB of the memory of its worker's NVIDIA H100") as caught:
        devices.require_room(step, job)
    failure = caught.value.failure
    assert (failure.code, failure.transient, failure.fault) == ("step.device_memory_taken", True, Fault.INFRASTRUCTURE)
    step.queue = "cpu"
    devices.require_room(step, job)


def test_a_device_with_the_memory_of_the_cpu_takes_steps(
    step: SessionStep, monkeypatch: pytest.MonkeyPatch, device: Path
) -> None:
    fake_nvidia.install(device, monkeypatch, unified=True)
    devices.require_room(step, Job(handler="", scratch=device))


def test_a_driver_that_does_not_answer_stops_no_step(step: SessionStep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "free_bytes", lambda uuid: None)
    devices.require_room(step, Job(handler="", scratch=Path("/")))
