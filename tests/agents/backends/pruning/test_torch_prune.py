"""Structured pruning: what is cut and what is not, in every manner, and what comes of it further on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.pruning import agent
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueNothingToPrune,
    TechniqueTooSlow,
)
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques import speed_target
from apps.agents.techniques.base import Assignment, Optimized
from apps.agents.techniques.speed_target import SpeedGoal
from tests.agents import torch_uploads
from tests.agents.techniques.test_speed_target import comparison
from tests.agents.training_lessons import EXAMPLES, pictures
from tests.agents.workshop import Workshop

LABELLED = DatasetSpec(kind="npz", task="classification", training_share=0.5)


class Residual(nn.Module):
    """Pictures [N, 3, 8, 8] to five logits: a shortcut, a depthwise layer, and rows laid out with a written width."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.hidden = nn.Linear(channels * 4, 64)
        self.head = nn.Linear(64, 5)
        self.written = channels * 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        planes = torch.relu(self.stem(x))
        planes = nn.functional.avg_pool2d(planes + self.body(planes), 4)
        rows = planes.view(x.shape[0], self.written)
        return self.head(torch.relu(self.hidden(rows)))  # type: ignore[no-any-return]


def residual(folder: Path) -> Path:
    """The network as an exported program, trained for a moment."""
    torch.manual_seed(0)
    module = Residual().train()
    images, labels = torch.from_numpy(pictures()), torch.arange(EXAMPLES) % 5
    optimizer = torch.optim.AdamW(module.parameters(), 0.003)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    return exported(module.eval(), folder / "model.pt2", (3, 8, 8))


def exported(module: nn.Module, path: Path, shape: tuple[int, ...]) -> Path:
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


def examples(workshop: Workshop) -> Path:
    return workshop.examples(x=pictures(), y=np.arange(EXAMPLES) % 5)


def accuracy(file: Path, folder: Path) -> float:
    outputs = load_model(file, folder).run({"x": pictures()})
    return float((outputs[0].argmax(1) == np.arange(EXAMPLES) % 5).mean())


def widths(made: Optimized) -> dict[str, list[int]]:
    """Before and after, of the layers that changed."""
    told = made.result.evidence["channels_by_layer"]
    return {name: [before, after] for name, before, after in told if before != after}


def test_the_share_of_work_asked_for_is_removed_and_the_interface_stays(tmp_path: Path) -> None:
    workshop, model = Workshop(tmp_path, "torch-export"), residual(tmp_path)
    made = workshop.apply("torch-prune", model, examples(workshop), LABELLED, macs_removed=0.5, round_to=1)
    evidence = made.result.evidence
    assert abs(evidence["macs_removed"] - 0.5) < 0.05
    assert evidence["macs_after"] < evidence["macs_before"]
    after = open_engine("torch-export", made.artifact, tmp_path).summary
    assert after.inputs == (TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),)
    assert after.outputs == open_engine("torch-export", model, tmp_path).summary.outputs
    assert after.parameters < open_engine("torch-export", model, tmp_path).summary.parameters
    outputs = load_model(made.artifact, tmp_path).run({"x": pictures(7)})
    assert outputs[0].shape == (7, 5)


def test_output_layers_stay_whole_and_coupled_layers_are_cut_together(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    made = workshop.apply("torch-prune", residual(tmp_path), examples(workshop), LABELLED, macs_removed=0.6)
    cut = widths(made)
    assert "head" not in cut
    assert cut["stem.0"] == cut["body.6"]  # They meet in the shortcut's sum.
    assert cut["body.0"] == cut["body.3"]  # The depthwise layer has its own channels from the one before.
    assert all(after % 8 == 0 for _, after in cut.values())
    assert cut["hidden"][1] < 64  # Although the view before it has its width written down.


@pytest.mark.parametrize(
    ("importance", "scope", "schedule"),
    [
        ("magnitude", "isomorphic", "one-shot"),
        ("batch-norm", "global", "one-shot"),
        ("taylor", "local", "iterative"),
        ("fpgm", "global", "iterative"),
    ],
)
def test_every_manner_of_cutting_gives_a_network_that_runs(
    tmp_path: Path, importance: str, scope: str, schedule: str
) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    manner = {"importance": importance, "scope": scope, "schedule": schedule, "macs_removed": 0.4}
    made = workshop.apply("torch-prune", residual(tmp_path), examples(workshop), LABELLED, **manner)
    assert 0.2 < made.result.evidence["macs_removed"] < 0.6
    assert "multiply-accumulates are left" in " ".join(made.result.checks)


@pytest.mark.parametrize("round_to", [1, 16])
def test_widths_are_multiples_of_what_was_asked_for(tmp_path: Path, round_to: int) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    model, data = residual(tmp_path), examples(workshop)
    made = workshop.apply("torch-prune", model, data, LABELLED, macs_removed=0.3, round_to=round_to)
    assert widths(made)
    assert all(after % round_to == 0 for _, after in widths(made).values())


def test_a_deep_cut_leaves_the_narrow_layers_a_block_and_not_whole(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    made = workshop.apply("torch-prune", residual(tmp_path), examples(workshop), LABELLED, macs_removed=0.9)
    told = {name: (before, after) for name, before, after in made.result.evidence["channels_by_layer"]}
    assert made.result.evidence["macs_removed"] > 0.85
    assert all(8 <= after < before for name, (before, after) in told.items() if name != "head" and before > 8), told


def test_less_important_weights_are_removed_first(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    with torch.no_grad():
        module[0].weight[:16] *= 1e-3
        module[0].bias[:16] = 0
        module[2].weight[:, :16] *= 1e-3
    model = exported(module, tmp_path / "model.pt2", (8,))
    workshop = Workshop(tmp_path, "torch-export")
    rows = np.random.default_rng(0).standard_normal((EXAMPLES, 8)).astype(np.float32)
    name = open_engine("torch-export", model, tmp_path).summary.inputs[0].name
    data = workshop.examples(**{name: rows, "y": np.arange(EXAMPLES) % 5})
    made = workshop.apply("torch-prune", model, data, LABELLED, macs_removed=0.5, round_to=16)
    wanted, given = (load_model(path, tmp_path).run({name: rows})[0] for path in (model, made.artifact))
    assert np.abs(wanted - given).max() < 1e-3


def test_a_state_dict_becomes_a_program_with_its_own_names(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "state-dict")
    model = torch_uploads.described_zip(tmp_path / "model.zip")
    made = workshop.apply("torch-prune", model, examples(workshop), LABELLED, macs_removed=0.4, round_to=1)
    after = open_engine("torch-export", made.artifact, tmp_path).summary
    assert after.inputs[0].name == "x"
    assert after.outputs[0].name == open_engine("state-dict", model, tmp_path).summary.outputs[0].name
    assert widths(made) == {"convolution": [8, 5]}


def test_a_cut_network_is_trained_exported_to_onnx_and_quantized_to_8_bits(tmp_path: Path) -> None:
    workshop, model = Workshop(tmp_path, "torch-export"), residual(tmp_path)
    data = examples(workshop)
    cut = workshop.apply("torch-prune", model, data, LABELLED, macs_removed=0.8)
    assignment = workshop.assignment(
        "torch-recover", cut.artifact, data, LABELLED, steps=60, batch_size=16, learning_rate=0.01
    )
    teacher = {"teacher": ModelFile(format="torch-export", path=model)}
    recovered = workshop.run(replace(assignment, further_inputs=teacher))
    assert accuracy(recovered.artifact, tmp_path) > accuracy(cut.artifact, tmp_path)
    assert accuracy(recovered.artifact, tmp_path) > accuracy(model, tmp_path) - 0.02
    assert set(load_model(recovered.artifact, tmp_path).module.state_dict()) == set(Residual().state_dict())
    onnx = workshop.apply("onnx-export", recovered.artifact, data, LABELLED)
    narrow = Workshop(tmp_path / "onnx")
    narrow.root.mkdir()
    eight = narrow.apply("onnx-static-int8", onnx.artifact, data, LABELLED)
    session = onnxruntime.InferenceSession(str(eight.artifact), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": pictures()})[0].argmax(1)
    assert float((found == np.arange(EXAMPLES) % 5).mean()) > accuracy(model, tmp_path) - 0.05


def test_a_speed_is_reached_by_timing_and_the_recipe_makes_the_same_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop, model = Workshop(tmp_path, "torch-export"), residual(tmp_path)
    data, timed = examples(workshop), []

    def time_beside(assignment: Assignment, artifact: Path, goal: SpeedGoal) -> LatencyComparison:
        """As if time followed the bytes of the file."""
        timed.append(artifact)
        return comparison(model.stat().st_size / artifact.stat().st_size)

    monkeypatch.setattr(speed_target, "MOST_TRIES", 3)
    monkeypatch.setattr(agent, "time_beside", time_beside)
    made = workshop.apply("torch-prune", model, data, LABELLED, speedup_wanted=1.5)
    assert made.result.input_size_bytes / made.result.size_bytes >= 1.4
    assert 1 < len(timed) <= 3
    found = {name: made.result.parameters[name] for name in ("macs_removed", "speedup_wanted", "latency_ms")}
    timed.clear()
    again = workshop.apply("torch-prune", model, data, LABELLED, **found)
    assert again.result.digest == made.result.digest
    assert not timed
    monkeypatch.setattr(agent, "time_beside", lambda *_: comparison(1.2))
    with pytest.raises(TechniqueTooSlow, match="3 times as fast"):
        workshop.apply("torch-prune", model, data, LABELLED, speedup_wanted=3.0)


def test_a_network_with_only_output_layers_has_nothing_to_cut(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "torch-export")
    model = exported(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval(), tmp_path / "model.pt2", (3, 8, 8))
    name = open_engine("torch-export", model, tmp_path).summary.inputs[0].name
    data = workshop.examples(**{name: pictures(), "y": np.arange(EXAMPLES) % 5})
    with pytest.raises(TechniqueNothingToPrune) as refused:
        workshop.apply("torch-prune", model, data, LABELLED)
    assert refused.value.code == "technique.nothing_to_prune"


def test_ranking_by_scales_is_refused_without_batch_norms(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, "state-dict")
    model = torch_uploads.described_zip(tmp_path / "model.zip")
    with pytest.raises(TechniqueNotApplicable, match="no batch norms"):
        workshop.apply("torch-prune", model, examples(workshop), LABELLED, importance="batch-norm")
