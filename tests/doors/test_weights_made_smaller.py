"""Careful rounding, decomposition and shared weights, each from the upload to the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.contracts.criteria import Budget, CountedSize
from apps.agents.contracts.state import Outcome
from lathe.testing.data_sets import npz
from tests.agents.backends.pruning.test_torch_prune import exported
from tests.agents.workshop import FASHION, RESNET
from tests.door import Door, quick, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
]
CLASSES = {"kind": "npz", "task": "classification"}
MINUTES = Budget(minutes=20.0, candidates=1)


@pytest.mark.parametrize("rounding", ["onnx-gptq", "onnx-adaround"])
def test_weights_rounded_with_care_keep_it_in_four_bits(door: Door, rounding: str) -> None:
    model, data = door.model(RESNET), door.data(FASHION, CLASSES)
    criteria = quick(rounding, "onnx-low-bits", required_techniques=(rounding,), budget=MINUTES)
    session = door.verdict(model, data, criteria)
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert [link["technique"] for link in candidate.steps] == [rounding, "onnx-low-bits"]
    stored = session.steps.get(key=f"{candidate.key}/optimize").result["evidence"]
    assert stored["layers_on_grid"] == stored["layers"] > 0
    assert candidate.evaluation.size_ratio > 6


def low_rank(folder: Path) -> Path:
    """Pictures [N, 3, 32, 32] to ten numbers; the weight of the large layer is a product of two of rank 8."""
    torch.manual_seed(0)
    large = nn.Conv2d(96, 96, 3, padding=1)
    with torch.no_grad():
        large.weight.copy_((torch.randn(96, 8) @ torch.randn(8, 96 * 9) / 80).reshape(large.weight.shape))
    layers = (nn.Conv2d(3, 96, 3, padding=1), nn.ReLU(), large, nn.ReLU(), nn.AvgPool2d(8), nn.Flatten())
    return exported(nn.Sequential(*layers, nn.Linear(96 * 16, 10)).eval(), folder / "large.pt2", (3, 32, 32))


@pytest.mark.parametrize(
    ("technique", "counted"), [("torch-decompose", CountedSize.FILE), ("torch-clustering", CountedSize.COMPRESSED)]
)
def test_a_pytorch_program_gets_smaller_factors_or_shared_weights(
    door: Door, tmp_path: Path, technique: str, counted: CountedSize
) -> None:
    pictures = np.random.default_rng(0).standard_normal((200, 3, 32, 32)).astype(np.float32)
    model = door.model(low_rank(tmp_path))
    data = door.data(npz(x=pictures), {"kind": "npz", "task": "fidelity"}, "pictures.npz")
    session = door.verdict(model, data, quick(technique, counted_size=counted, budget=MINUTES))
    assert session.outcome == Outcome.IMPROVED, told(session)
    (candidate,) = session.candidates.filter(status="selected")
    assert [link["technique"] for link in candidate.steps][-1] == technique
    assert candidate.evaluation.size_ratio > 1.5
