"""Decomposition of PyTorch programs: what is replaced, what is not, and what comes of it further on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.decomposition.layers import layers_of, rows_of
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.errors.techniques import TechniqueNothingToDecompose, TechniqueParameters
from apps.agents.techniques.base import Optimized
from tests.agents.backends.pruning.test_torch_prune import exported
from tests.agents.training_lessons import pictures
from tests.agents.workshop import FIDELITY, Workshop, sqnr_db

UNTIMED = {"timed": False, "multiple_of": 1, "calibration_examples": 32}


class Small(nn.Module):
    """Pictures [N, 3, 8, 8] to five numbers: two convolutions, one in groups, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.body = nn.Conv2d(16, 24, 3, stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(24)
        self.hidden = nn.Linear(24, 32)
        self.head = nn.Linear(32, 5)
        with torch.no_grad():  # Four singular values that are not zero.
            for part in (self.body, self.hidden):
                left, right = torch.randn(len(part.weight), 4), torch.randn(4, part.weight[0].numel())
                part.weight.copy_((left @ right / part.weight[0].numel() ** 0.5).reshape(part.weight.shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        planes = torch.relu(self.norm(self.body(torch.relu(self.grouped(torch.relu(self.stem(x)))))))
        return self.head(torch.relu(self.hidden(planes.mean((2, 3)))))


def _apply(folder: Path, module: nn.Module, **parameters: Any) -> Optimized:
    workshop = Workshop(folder, "torch-export")
    model = exported(module.eval(), folder / "model.pt2", (3, 8, 8))
    data = workshop.examples(x=pictures())
    return workshop.apply("torch-decompose", model, data, FIDELITY, **{**UNTIMED, **parameters})


def _small() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.mark.parametrize("rank", ["body=channel:4", "body=spatial:12", "hidden=channel:4"])
def test_a_layer_of_low_rank_is_replaced_without_loss(tmp_path: Path, rank: str) -> None:
    made = _apply(tmp_path, _small(), ranks=[rank])
    assert sqnr_db(made) > 60
    assert made.result.evidence["macs_after"] < made.result.evidence["macs_before"]


def test_work_is_removed_and_the_evidence_tells_where_and_what_is_left(tmp_path: Path) -> None:
    made = _apply(tmp_path, _small(), removed=0.3)
    found = made.result.evidence
    assert 0.295 <= found["macs_removed"] < 0.5
    assert {row["name"] for row in found["ranks"]} <= {"stem", "body", "hidden", "head"}
    reasons = {one["name"]: one["reason"] for one in found["left"]}
    assert reasons["grouped"] == "it is a convolution in groups, which has little to share between channels"
    assert load_model(made.artifact, tmp_path).run({"x": pictures(7)})[0].shape == (7, 5)
    assert sqnr_db(made) > 20


def test_what_was_decomposed_is_exported(tmp_path: Path) -> None:
    made = _apply(tmp_path, _small(), removed=0.3)
    (tmp_path / "export").mkdir()
    workshop = Workshop(tmp_path / "export", "torch-export")
    onnx = workshop.apply("onnx-export", made.artifact, workshop.examples(x=pictures()), FIDELITY)
    assert onnx.result.model.parameters < made.result.evidence["parameters_before"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 2)),
        nn.Conv2d(4, 6, (4, 3), padding="same"),
        nn.Conv1d(4, 6, 3, stride=2, padding=1),
        nn.Linear(9, 5),
    ],
    ids=str,
)
def test_rows_times_the_weight_are_the_outputs(layer: nn.Module) -> None:
    shape = {nn.Conv2d: (2, 4, 8, 9), nn.Conv1d: (2, 4, 9), nn.Linear: (2, 3, 9)}[type(layer)]
    given = torch.randn(shape)
    made = layer(given).detach()
    rows = rows_of(layer, given, layer.weight.shape[2:])
    found = rows @ layer.weight.detach().flatten(1).numpy().T + layer.bias.detach().numpy()
    wanted = made if isinstance(layer, nn.Linear) else made.flatten(2).transpose(1, 2)
    assert np.allclose(found, wanted.numpy(), atol=1e-4)


def test_a_module_that_runs_twice_is_left() -> None:
    layer = nn.Linear(8, 8)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    found = layers_of(twice, lambda: twice(torch.zeros(2, 8)), 2)
    assert found.left == {"0": "its weight is shared with another layer"}


def test_a_program_without_such_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TechniqueNothingToDecompose, match="it is a convolution in groups"):
        _apply(tmp_path, nn.Sequential(nn.Conv2d(3, 6, 3, groups=3)))


def test_ranks_that_the_program_cannot_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TechniqueParameters, match="ranks: 'nowhere' is not a layer"):
        _apply(tmp_path, _small(), ranks=["nowhere=channel:2"])
