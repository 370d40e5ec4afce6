"""Recovery training as a technique: every format, what it learns from, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.exported import ExportedProgramFile
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.rebuilding import rebuilt
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.errors.training import ModelNotTrainable, TrainingPartMissing
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, Optimized, agent_for
from tests.agents import torch_models, torch_uploads
from tests.agents.training_lessons import EXAMPLES, pictures
from tests.agents.workshop import Workshop

UPLOADS: dict[str, Callable[[Path], Path]] = {
    "state-dict": lambda folder: torch_uploads.described_zip(folder / "model.zip"),
    "torch-export": lambda folder: torch_uploads.exported_file(folder / "model"),
    "torchscript": lambda folder: torch_uploads.scripted_file(folder / "model.pt"),
}
LABELLED = DatasetSpec(kind="npz", task="classification", training_share=0.5)
UNLABELLED = DatasetSpec(kind="npz", task="fidelity", training_share=0.5)
SHORT: dict[str, Any] = {"steps": 40, "batch_size": 16, "learning_rate": 0.02}


def examples(workshop: Workshop) -> Path:
    return workshop.examples(x=pictures(), y=np.arange(EXAMPLES) % 5)


def accuracy(made: Optimized, folder: Path, format: str) -> float:  # noqa: A002
    outputs = load_model(made.artifact, folder).run({"x": pictures()})
    return float((outputs[0].argmax(1) == np.arange(EXAMPLES) % 5).mean())


@pytest.mark.parametrize("format", UPLOADS)
def test_a_network_learns_in_its_format_and_keeps_its_interface(tmp_path: Path, format: str) -> None:  # noqa: A002
    workshop = Workshop(tmp_path, format)
    file = UPLOADS[format](tmp_path)
    before = load_model(file, tmp_path).run({"x": pictures()})[0]
    made = workshop.apply("torch-recover", file, examples(workshop), LABELLED, distill=0.0, **SHORT)
    assert accuracy(made, tmp_path, format) > float((before.argmax(1) == np.arange(EXAMPLES) % 5).mean()) + 0.2
    after = open_engine(format, made.artifact, tmp_path).summary
    assert after.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),)
    assert after.outputs == open_engine(format, file, tmp_path).summary.outputs
    assert made.result.parameters["steps"] == made.result.evidence["steps"] == 40
    assert any("held-out examples" in check for check in made.result.checks)


def test_the_batch_norms_of_an_exported_program_learn(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    file = UPLOADS["torch-export"](tmp_path)
    made = workshop.apply("torch-recover", file, examples(workshop), LABELLED, **SHORT)
    tensors = ExportedProgramFile(made.artifact).program.state_dict
    mean = next(tensor for name, tensor in tensors.items() if name.endswith("running_mean"))
    assert float(mean.abs().max()) > 0


def test_the_same_seed_and_steps_give_the_same_file(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "state-dict")
    file, data = UPLOADS["state-dict"](tmp_path), examples(workshop)
    first, second = (workshop.apply("torch-recover", file, data, LABELLED, **SHORT) for _ in range(2))
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


def test_all_cores_train_and_the_recipe_has_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.agents.techniques.training.threads.usable_cores", lambda: 3)
    workshop = Workshop(tmp_path, "state-dict")
    file, data = UPLOADS["state-dict"](tmp_path), examples(workshop)
    before = torch.get_num_threads()
    try:
        made = workshop.apply("torch-recover", file, data, LABELLED, threads=0, **SHORT)
        assert made.result.evidence["threads"] == 3
        assert made.result.parameters["threads"] == 3
        monkeypatch.setattr("apps.agents.techniques.training.threads.usable_cores", lambda: 1)
        again = workshop.apply("torch-recover", file, data, LABELLED, **made.result.parameters)
        assert again.artifact.read_bytes() == made.artifact.read_bytes(), "a recipe needs no machine with as many cores"
    finally:
        torch.set_num_threads(before)


def spoiled(folder: Path) -> Path:
    """The original's file with a head that is noise."""
    module = torch_uploads.convolutional()
    torch.manual_seed(9)
    nn.init.normal_(module.head.weight)
    program = torch.export.export(module, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "spoiled.pt2")
    return folder / "spoiled.pt2"


def after(assignment: Assignment, original: Path) -> Assignment:
    """The assignment of a later link, whose session began with `original`."""
    file = ModelFile(format=assignment.format, path=original)
    return replace(assignment, further_inputs={"teacher": file})


def test_without_labels_a_changed_model_approaches_the_original_again(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    original, changed = UPLOADS["torch-export"](tmp_path), spoiled(tmp_path)
    data = workshop.examples(x=pictures())
    assignment = after(workshop.assignment("torch-recover", changed, data, UNLABELLED, **SHORT), original)
    made = workshop.run(assignment)
    wanted, before, given = (
        load_model(path, tmp_path).run({"x": pictures()})[0] for path in (original, changed, made.artifact)
    )
    assert np.square(given - wanted).mean() < 0.3 * np.square(before - wanted).mean()


def test_rows_of_tokens_can_be_trained_on_and_the_original_itself_gets_no_closer_to_itself(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "transformers")
    rows = workshop.examples(**torch_models.tokens(60))
    original = torch_models.llama_archive(tmp_path / "a")
    changed = torch_models.llama_archive(tmp_path / "b")
    assignment = workshop.assignment("torch-recover", changed, rows, UNLABELLED, **SHORT)
    with pytest.raises(TechniqueNoEffect):  # It is the original: there is nothing to come back to.
        workshop.run(after(assignment, original))


def test_a_model_that_is_the_original_has_nothing_to_learn_from_it_alone(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    assignment = workshop.assignment(
        "torch-recover", UPLOADS["torch-export"](tmp_path), examples(workshop), LABELLED, distill=1.0, **SHORT
    )
    with pytest.raises(TechniqueNoEffect) as refused:
        workshop.run(assignment)
    assert refused.value.code == "technique.no_effect"
    assert not list(assignment.out.iterdir())


def test_a_data_set_that_sets_nothing_apart_is_refused_before_any_work(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    spec = DatasetSpec(kind="npz", task="classification")
    assignment = workshop.assignment("torch-recover", UPLOADS["torch-export"](tmp_path), examples(workshop), spec)
    with pytest.raises(TrainingPartMissing) as refused:
        agent_for(assignment.spec).check(assignment, workshop.told)
    assert refused.value.code == "training.part_missing"
    assert "training share" in refused.value.message


class Sums(nn.Module):
    """Has numbers of its own, and none that training could change."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.table)


def test_a_model_without_parameters_and_one_in_halves_are_refused_by_name(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((EXAMPLES, 8)).astype(np.float32)
    workshop = Workshop(tmp_path, "torch-export")
    data = workshop.examples(x=rows, y=np.arange(EXAMPLES) % 5)
    batch = torch.export.Dim("batch")
    for module, reason in ((Sums(), "no float parameters"), (nn.Linear(8, 5).half(), "float16")):
        example = torch.zeros(2, 8, dtype=next(iter(module.state_dict().values())).dtype)
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},))
        torch.export.save(program, tmp_path / "model.pt2")
        name = open_engine("torch-export", tmp_path / "model.pt2", tmp_path).summary.inputs[0].name
        given = workshop.examples(**{name: rows, "y": np.arange(EXAMPLES) % 5}) if name != "x" else data
        with pytest.raises(ModelNotTrainable, match=reason) as refused:
            workshop.apply("torch-recover", tmp_path / "model.pt2", given, LABELLED)
        assert refused.value.code == "training.model_not_trainable"


class Several(nn.Module):
    """Layers of every kind that is built again, one of them called twice and one weight shared."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.conv = nn.Conv1d(8, 8, 3, padding="same")
        self.norm = nn.BatchNorm1d(8)
        self.up = nn.ConvTranspose1d(8, 8, 2, stride=2)
        self.normed = nn.LayerNorm(8)
        self.twice = nn.Linear(8, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids)
        rows = self.up(self.norm(self.conv(rows.transpose(1, 2)))).transpose(1, 2)
        rows = self.encoder(self.twice(torch.relu(self.twice(self.normed(rows)))))
        return rows.mean(1) @ self.table.weight.T


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_rebuilt_program_computes_the_same_and_is_made_of_modules(decomposed: bool) -> None:
    torch.manual_seed(0)
    module = Several().eval()
    ids = torch.randint(0, 20, (4, 6))
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(module, (ids,), dynamic_shapes=shapes)
    made = rebuilt((program.run_decompositions() if decomposed else program).module(check_guards=False))
    assert torch.allclose(made(ids), module(ids), atol=1e-6)
    kinds = {type(part).__name__ for part in made.modules()}
    assert {"Conv1d", "BatchNorm1d", "Embedding"} <= kinds
    if not decomposed:
        assert {"ConvTranspose1d", "LayerNorm", "Linear"} <= kinds
        assert [node.target for node in made.graph.nodes if node.op == "call_module"].count("twice") == 2
