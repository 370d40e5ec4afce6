"""Narrower students of convolutional networks: their size, what they learn, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.distillation.hints import hints_of
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.distillation import StudentDiffers, StudentNotBuilt
from apps.agents.contracts.errors.training import TrainingPartMissing
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, Optimized
from tests.agents.backends.pruning.test_torch_prune import Residual, accuracy, examples, exported, residual
from tests.agents.told import Killed, Told
from tests.agents.training_lessons import EXAMPLES, pictures
from tests.agents.workshop import Workshop

LABELLED = DatasetSpec(kind="npz", task="classification", training_share=0.5)
UNLABELLED = DatasetSpec(kind="npz", task="fidelity", training_share=0.5)
SHORT: dict[str, Any] = {"steps": 40, "batch_size": 16, "learning_rate": 0.01}
INSIDE = {"hidden_weight": 1.0, "cosine_weight": 0.5}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("students"), "torch-export")


@pytest.fixture(scope="module")
def teacher(shop: Workshop) -> Path:
    return residual(shop.root)


def assigned(shop: Workshop, teacher: Path, spec: DatasetSpec = LABELLED, **parameters: Any) -> Assignment:
    return shop.assignment("torch-distill", teacher, examples(shop), spec, **{**SHORT, **parameters})


@pytest.fixture(scope="module")
def made(shop: Workshop, teacher: Path) -> Optimized:
    """A fresh student that learned from labels, outputs and hidden states."""
    return shop.run(assigned(shop, teacher, initial="fresh", round_to=1, **INSIDE))


def test_a_student_has_the_share_of_parameters_that_it_was_promised(shop: Workshop, made: Optimized) -> None:
    whole = sum(weight.numel() for weight in Residual().parameters())
    student = load_model(made.artifact, shop.root)
    count = sum(weight.numel() for weight in student.module.parameters())
    assert count / whole == pytest.approx(0.25, abs=0.03)
    assert made.result.evidence["parameters_left"] == pytest.approx(count / whole, abs=1e-4)
    assert all(after < before for before, after in made.result.evidence["widths"].values())
    assert "head" not in made.result.evidence["widths"]
    assert made.result.evidence["compared"] == ["hidden", "head"]
    assert f"The student has {count:,} of {whole:,} parameters" in " ".join(made.result.checks)


def test_its_interface_is_the_originals_and_no_projection_is_handed_over(
    shop: Workshop, teacher: Path, made: Optimized
) -> None:
    after = open_engine("torch-export", made.artifact, shop.root).summary
    assert after.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),)
    assert after.outputs == open_engine("torch-export", teacher, shop.root).summary.outputs
    assert set(load_model(made.artifact, shop.root).module.state_dict()) == set(Residual().state_dict())


def test_a_short_distillation_lowers_the_loss_and_teaches_the_classes(shop: Workshop, made: Optimized) -> None:
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.7 * evidence["held_out_loss_before"]
    assert accuracy(made.artifact, shop.root) > 0.6  # A fifth by chance.


def test_the_same_seed_gives_the_same_file(shop: Workshop, teacher: Path, made: Optimized) -> None:
    again = shop.run(assigned(shop, teacher, initial="fresh", round_to=1, **INSIDE))
    assert again.artifact.read_bytes() == made.artifact.read_bytes()


def test_a_student_of_the_teachers_channels_begins_ahead_of_a_fresh_one(
    shop: Workshop, teacher: Path, made: Optimized
) -> None:
    sliced = shop.run(assigned(shop, teacher, round_to=1, student_parameters=0.5, **INSIDE))
    assert sliced.result.evidence["held_out_loss_before"] < 0.8 * made.result.evidence["held_out_loss_before"]


def test_without_labels_it_learns_the_originals_outputs(shop: Workshop, teacher: Path) -> None:
    data = shop.examples(x=pictures())
    found = shop.run(shop.assignment("torch-distill", teacher, data, UNLABELLED, round_to=1, initial="fresh", **SHORT))
    assert found.result.evidence["held_out_loss_after"] < 0.7 * found.result.evidence["held_out_loss_before"]


def test_a_killed_distillation_ends_with_the_same_file(
    shop: Workshop, teacher: Path, made: Optimized, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.agents.techniques.training.trainer.CHECKPOINT_EVERY_S", 0.0)
    first = Told()

    def stop(name: str, value: float, step: int | None = None) -> None:
        if len(first.kept) == 4:
            raise Killed

    monkeypatch.setattr(first, "metric", stop)
    assignment = assigned(shop, teacher, initial="fresh", round_to=1, **INSIDE)
    shop.told, usual = first, shop.told
    try:
        with pytest.raises(Killed):
            shop.run(assignment)
        (shop.root / "kept.pt").write_bytes(first.kept[-1])
        shop.told = Told(checkpoint=shop.root / "kept.pt")
        resumed = shop.run(assignment)
    finally:
        shop.told = usual
    assert resumed.artifact.read_bytes() == made.artifact.read_bytes()


def test_stages_are_compared_where_they_end(teacher: Path) -> None:
    module = Residual().eval()
    found = hints_of(module, (torch.zeros(2, 3, 8, 8),))
    assert dict(zip(found.names, found.axes, strict=True)) == {"hidden": -1, "head": -1}
    deeper = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.MaxPool2d(3))
    deeper.append(nn.Conv2d(8, 4, 1))
    assert hints_of(deeper, (torch.zeros(2, 3, 8, 8),)).names == ("2", "4")


def test_a_data_set_that_sets_nothing_apart_is_refused_before_any_work(shop: Workshop, teacher: Path) -> None:
    with pytest.raises(TrainingPartMissing) as refused:
        shop.run(assigned(shop, teacher, DatasetSpec(kind="npz", task="classification")))
    assert refused.value.code == "training.part_missing"


def test_a_student_with_other_classes_than_the_original_is_refused_before_it_learns(
    shop: Workshop, teacher: Path
) -> None:
    module = Residual().eval()
    module.head = nn.Linear(64, 7)
    other = ModelFile(format="torch-export", path=exported(module, shop.root / "seven.pt2", (3, 8, 8)))
    with pytest.raises(StudentDiffers, match=r"output .* instead of .*7") as refused:
        shop.run(replace(assigned(shop, teacher), further_inputs={"teacher": other}))
    assert refused.value.code == "distillation.student_differs"


def test_a_network_that_cannot_be_narrowed_as_far_is_refused_by_name(shop: Workshop, teacher: Path) -> None:
    with pytest.raises(StudentNotBuilt, match="multiples of less than 16") as refused:
        shop.run(assigned(shop, teacher, round_to=16, student_parameters=0.02))
    assert refused.value.code == "distillation.student_not_built"
    flat = exported(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval(), shop.root / "flat.pt2", (3, 8, 8))
    name = open_engine("torch-export", flat, shop.root).summary.inputs[0].name
    data = shop.examples(**{name: pictures(), "y": np.arange(EXAMPLES) % 5})
    with pytest.raises(StudentNotBuilt, match="no layer can lose"):
        shop.apply("torch-distill", flat, data, LABELLED, **SHORT)
