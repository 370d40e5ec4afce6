"""Students that a member gives a session: another architecture that learns from the original, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.distillation.reading import check_tokens
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.chain import MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.distillation import StudentDiffers
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.files.digest import digest_of
from apps.agents.measuring.protocol import ModelFile
from apps.agents.packaging import reproducing
from apps.agents.techniques.base import Assignment, Optimized
from tests.agents import text_folders
from tests.agents.backends.pruning.test_torch_prune import examples, exported, residual
from tests.agents.techniques.test_further_inputs import run
from tests.agents.torch_uploads import folder_zip
from tests.agents.workshop import Workshop

LABELLED = DatasetSpec(kind="npz", task="classification", training_share=0.5)
SHORT: dict[str, Any] = {"steps": 40, "batch_size": 16, "learning_rate": 0.01}


class Small(nn.Module):
    """Two layers, where the original is residual."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.first(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("given"), "torch-export")


@pytest.fixture(scope="module")
def teacher(shop: Workshop) -> Path:
    return residual(shop.root)


def assigned(shop: Workshop, teacher: Path, student: nn.Module) -> Assignment:
    torch.manual_seed(0)
    given = exported(student.eval(), shop.root / f"student-{len(list(shop.root.iterdir()))}.pt2", (3, 8, 8))
    assignment = shop.assignment("torch-distill-student", teacher, examples(shop), LABELLED, **SHORT)
    inputs = {**assignment.further_inputs, STUDENT: ModelFile(format="torch-export", path=given)}
    return replace(assignment, further_inputs=inputs)


@pytest.fixture(scope="module")
def assignment(shop: Workshop, teacher: Path) -> Assignment:
    return assigned(shop, teacher, Small())


@pytest.fixture(scope="module")
def made(shop: Workshop, assignment: Assignment) -> Optimized:
    return shop.run(assignment)


def test_another_architecture_learns_from_the_original(shop: Workshop, made: Optimized) -> None:
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.8 * evidence["held_out_loss_before"]
    assert load_model(made.artifact, shop.root).summary.parameters == sum(one.numel() for one in Small().parameters())
    assert any("parameters (" in check for check in made.result.checks)


def test_its_recipe_makes_the_same_file_again(
    shop: Workshop, assignment: Assignment, made: Optimized, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproducing, "run_job", run)
    files = {role: one.path for role, one in assignment.further_inputs.items()}
    data = examples(shop)
    told = {
        "recipe_version": 2,
        "seed": 0,
        "original": record(assignment.model),
        "student": record(files[STUDENT]),
        "dataset": {"sha256": digest_of(data), "spec": LABELLED},
        "steps": [
            {
                "technique": assignment.spec.name,
                "parameters": made.result.parameters,
                "key": "c01",
                "inputs": {MODEL: ORIGINAL, "teacher": ORIGINAL, STUDENT: STUDENT},
            }
        ],
        "artifact": record(made.artifact),
    }
    followed = reproducing.follow(
        Recipe.model_validate(told), assignment.model, data, shop.root / "again.pt2", lambda event: None, files[STUDENT]
    )
    assert followed.same


def record(file: Path) -> dict[str, object]:
    return {"sha256": digest_of(file), "size_bytes": file.stat().st_size, "format": "torch-export"}


def test_a_student_with_other_classes_is_refused_by_name(shop: Workshop, teacher: Path) -> None:
    with pytest.raises(StudentDiffers, match="its output is") as refused:
        shop.run(assigned(shop, teacher, Small(classes=4)))
    assert refused.value.code == "distillation.student_differs"


def test_a_student_that_reads_other_tokens_is_refused(tmp_path: Path) -> None:
    folders = {name: text_folders.folder("Bert", tmp_path / name, begins=name == "begins") for name in ("begins", "no")}
    packed = {name: folder_zip(folder, tmp_path / f"{name}.zip") for name, folder in folders.items()}
    teacher, other = (load_model(packed[name], tmp_path) for name in ("begins", "no"))
    check_tokens(teacher, teacher, "Distillation")
    with pytest.raises(StudentDiffers, match="other tokens"):
        check_tokens(teacher, other, "Distillation")
    with pytest.raises(StudentDiffers, match="no tokenizer"):
        check_tokens(teacher, replace(other, encoder=None), "Distillation")
