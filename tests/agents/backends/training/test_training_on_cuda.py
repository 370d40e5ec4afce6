"""Training on CUDA beside training on the CPU: the same loss, the same bits for the same seed, checkpoints, memory."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.training.precision import computing, reproducible
from apps.agents.contracts.job import Event, Job
from apps.agents.sandbox.process import JobFailed, run_job
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from tests.agents import torch_models, torch_uploads
from tests.agents.backends.training.test_recovery import LABELLED, SHORT, UPLOADS, examples
from tests.agents.told import Killed, Told
from tests.agents.training_lessons import Clock, network, pictures, trainer
from tests.agents.workshop import Workshop

pytestmark = pytest.mark.gpu


def learned(workshop: Workshop, file: Path, data: Path, **more: Any) -> dict[str, Any]:
    """What a recovery with labels says of itself."""
    return workshop.apply("torch-recover", file, data, LABELLED, **{**SHORT, "distill": 0.0, **more}).result.evidence


@pytest.mark.parametrize("format", UPLOADS)
def test_cuda_learns_what_the_cpu_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:  # noqa: A002
    workshop = Workshop(tmp_path, format)
    file, data = UPLOADS[format](tmp_path), examples(workshop)
    mixed, exact = learned(workshop, file, data), learned(workshop, file, data, precision="float32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = learned(workshop, file, data)
    told = [(one["device"], one["precision"]) for one in (mixed, exact, on_cpu)]
    assert told == [("cuda", "bfloat16"), ("cuda", "float32"), ("cpu", "float32")]
    dropout = 0.0 if format != "state-dict" else 1.0
    for one, share in ((mixed, 0.05), (exact, 0.01)):
        assert one["held_out_loss_before"] == pytest.approx(on_cpu["held_out_loss_before"], rel=1e-3)
        assert one["held_out_loss_after"] == pytest.approx(on_cpu["held_out_loss_after"], rel=share + 0.05 * dropout)


def test_a_program_that_makes_tensors_as_it_goes_can_be_trained(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    file = torch_uploads.positions_file(tmp_path / "model.pt2")
    rows = workshop.examples(ids=np.random.default_rng(0).integers(0, 20, (120, 6)), y=mostly_zero(120))
    assert learned(workshop, file, rows)["device"] == "cuda"


def test_a_transformer_can_be_trained_with_its_original_as_teacher(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "transformers")
    rows = workshop.examples(**torch_models.tokens(120), y=mostly_zero(120))
    found = learned(workshop, torch_models.bert(tmp_path / "bert"), rows, distill=0.1)
    assert (found["device"], found["precision"]) == ("cuda", "bfloat16")


def mostly_zero(examples: int) -> np.ndarray:
    """Labels of three classes, of which a bias alone can learn something."""
    return np.random.default_rng(1).choice(3, examples, p=[0.8, 0.1, 0.1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_file(tmp_path: Path, precision: str) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    file, data = UPLOADS["torch-export"](tmp_path), examples(workshop)
    first, second = (
        workshop.apply("torch-recover", file, data, LABELLED, precision=precision, **SHORT) for _ in range(2)
    )
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


def test_a_killed_training_ends_with_the_same_weights_as_an_undisturbed_one(tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(steps=36, batch_size=16, learning_rate=0.01, shift=1, precision="bfloat16")
    clock, told, steps = Clock(), Told(), count(1)

    def kill() -> None:
        clock.wait(60)
        if next(steps) > 17:
            raise Killed

    with reproducible("cuda"):
        whole = trainer(
            tmp_path, network().cuda(), hyperparameters, clock=clock, hold=lambda: clock.wait(60), device="cuda"
        )
        whole.run()
        with pytest.raises(Killed):
            trainer(tmp_path, network().cuda(), hyperparameters, told=told, clock=clock, hold=kill, device="cuda").run()
        file = tmp_path / "kept.pt"
        file.write_bytes(told.kept[-1])
        again = trainer(
            tmp_path, network().cuda(), hyperparameters, told=Told(checkpoint=file), clock=clock, device="cuda"
        )
        assert again.run().step == 36
    wanted, found = (one.stepper.model.module.state_dict() for one in (whole, again))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert next(iter(wanted.values())).is_cuda


def test_mixed_precision_multiplies_in_bfloat16_and_exact_precision_without_tf32() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(64, 64, 3, 3), torch.randn(8, 64, 16, 16)
    wanted = torch.nn.functional.conv2d(x.double(), weight.double())
    with reproducible("cuda"), computing("bfloat16", "cuda"):
        assert torch.nn.functional.conv2d(x.cuda(), weight.cuda()).dtype is torch.bfloat16
    with reproducible("cuda"), computing("float32", "cuda"):
        found = torch.nn.functional.conv2d(x.cuda(), weight.cuda()).cpu().double()
    assert ((found - wanted).norm() / wanted.norm()).item() < 2e-6


# --- memory ---------------------------------------------------------------------------------------------------------


class Wide(nn.Module):
    """Takes about 200 kB a picture in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 128, 3, padding=1)
        self.second = nn.Conv2d(128, 128, 3, padding=1)
        self.head = nn.Linear(128, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture
def step(tmp_path: Path) -> dict[str, Any]:
    """A recovery of `Wide` with batches of 4,096 as a worker would ask for it, on a crowded device."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(Wide().eval(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    np.savez(tmp_path / "data.npz", x=pictures(10_000), y=np.arange(10_000) % 5)
    arguments = {
        "original_format": "torch-export",
        "format": "torch-export",
        "dataset": LABELLED.model_dump(mode="json"),
        "technique": "torch-recover",
        "parameters": {"steps": 12, "learning_rate": 0.01, "batch_size": 4096, "distill": 0.0, "precision": "float32"},
        "inputs": {"teacher": "torch-export"},
    }
    inputs = {"original": tmp_path / "model.pt2", "dataset": tmp_path / "data.npz", "teacher": tmp_path / "model.pt2"}
    return {"handler": "tests.agents.crowded_device:optimize", "arguments": arguments, "inputs": inputs}


@pytest.mark.parametrize("divisor", [1, 64])
def test_a_step_that_finds_the_device_crowded_may_be_tried_again_with_smaller_batches(
    tmp_path: Path, step: dict[str, Any], divisor: int
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    arguments = {**step["arguments"], "batch_divisor": divisor}
    job = Job(**{**step, "arguments": arguments}, scratch=scratch)
    if divisor > 1:
        assert run_job(job, on_event=ignore, should_stop=never).body["evidence"]["device"] == "cuda"
        return
    with pytest.raises(JobFailed) as failed:
        run_job(job, on_event=ignore, should_stop=never)
    assert (failed.value.code, failed.value.transient) == ("step.out_of_memory", True)


def ignore(event: Event) -> None:
    """Takes no notice."""


def never() -> bool:
    return False
