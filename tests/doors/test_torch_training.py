"""A PyTorch program from its upload to a verdict on what pruning, training and 8 bits made of it."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.contracts.criteria import Budget, Constraints, Objective
from apps.agents.contracts.state import Outcome
from tests.agents.training_lessons import pictures
from tests.door import Door, quick, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAIN = ("torch-prune", "torch-recover", "onnx-export", "onnx-static-int8")
EXAMPLES = 600


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


class Small(nn.Module):
    """Another architecture with the same interface."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)).mean((2, 3)))  # type: ignore[no-any-return]


def trained(path: Path) -> Path:
    torch.manual_seed(0)
    module, images = Network().train(), torch.from_numpy(pictures(EXAMPLES))
    optimizer = torch.optim.AdamW(module.parameters(), 0.003)
    for step in range(20):
        chosen = torch.arange(step * 30, step * 30 + 64) % EXAMPLES
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images[chosen]), chosen % 5).backward()
        optimizer.step()
    return exported(module, path)


def exported(module: nn.Module, path: Path) -> Path:
    images, batch = torch.from_numpy(pictures(2)), torch.export.Dim("batch")
    program = torch.export.export(module.eval(), (images,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


def data() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=pictures(EXAMPLES), y=np.arange(EXAMPLES) % 5)
    return file.getvalue()


@pytest.mark.timeout(1200)
@pytest.mark.nightly
def test_a_program_is_pruned_trained_again_and_quantized_and_judged(door: Door, tmp_path: Path) -> None:
    version = door.model(trained(tmp_path / "model.pt2"))
    spec = {"kind": "npz", "task": "classification", "label": "y"}
    dataset = door.data(data(), {**spec, "training_share": 0.4}, "data.npz")
    criteria = quick(
        *CHAIN,
        objective=Objective.SIZE,
        constraints=Constraints(max_metric_drop_points=30.0),
        budget=Budget(minutes=4, candidates=1),
    )
    session = door.verdict(version, dataset, criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    made = list(session.steps.filter(kind="optimize").order_by("pk").values_list("technique", flat=True))
    assert sorted(made) == sorted((*CHAIN, "onnx-export")), told(session)
    recovered = session.steps.get(kind="optimize", technique="torch-recover").result
    assert recovered["evidence"]["held_out_loss_after"] < recovered["evidence"]["held_out_loss_before"]
    assert session.steps.get(kind="optimize", technique="torch-prune").result["evidence"]["macs_removed"] > 0.5
    quantized = session.steps.get(kind="optimize", technique="onnx-static-int8").result
    assert quantized["size_bytes"] < version.metadata.summary.size_bytes / 6


def test_a_data_set_without_examples_to_train_on_gets_no_pruned_candidate(door: Door, tmp_path: Path) -> None:
    version = door.model(trained(tmp_path / "model.pt2"))
    dataset = door.data(data(), {"kind": "npz", "task": "classification", "label": "y"}, "data.npz")
    preview = door.preview(version, dataset, quick(*CHAIN, budget=Budget(minutes=30, candidates=4)))
    reasons = {one["technique"]: one["reason"] for one in preview["plan"]["omitted"]}
    assert "training_share" in reasons["torch-recover"]
    assert not any("torch-prune" in str(one) for one in preview["plan"]["candidates"])


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_an_uploaded_student_learns_from_the_original_and_takes_its_place(door: Door, tmp_path: Path) -> None:
    version, student = (
        door.model(trained(tmp_path / "model.pt2")),
        door.model(exported(Small(), tmp_path / "small.pt2")),
    )
    spec = {"kind": "npz", "task": "classification", "label": "y", "training_share": 0.4}
    session = door.verdict(
        version, door.data(data(), spec, "data.npz"), quick("torch-distill-student"), student=student.pk
    )
    assert session.outcome == Outcome.IMPROVED, told(session)
    step = session.steps.get(kind="optimize")
    assert step.parents == {"teacher": "original", "student": "student"}
    assert step.result["evidence"]["held_out_loss_after"] < step.result["evidence"]["held_out_loss_before"]
    assert step.result["model"]["parameters"] == student.metadata.summary.parameters
    recipe = door.client.get(f"/api/v1/sessions/{session.pk}/recipe/").json()
    assert recipe["student"]["sha256"] == student.blob_id
    with ZipFile(io.BytesIO(door.package(session))) as package:
        assert "--out MODEL --student STUDENT\n" in package.read("README.txt").decode()
