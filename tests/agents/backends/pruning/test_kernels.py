"""Kernels that keep only their middle: what is computed, what stays as it is, and what pruning counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.pruning.kernels import trimmed
from tests.agents.backends.pruning.test_torch_prune import LABELLED, examples, exported
from tests.agents.training_lessons import pictures
from tests.agents.workshop import Workshop

CASES: dict[str, dict[str, Any]] = {
    "one-sided": {"kernel_size": 5, "padding": 2},
    "with strides": {"kernel_size": 7, "padding": 3, "stride": 2},
    "dilated": {"kernel_size": 5, "padding": 4, "dilation": 2},
    "padded more": {"kernel_size": 5, "padding": 3},
    "by name": {"kernel_size": 5, "padding": "same"},
    "along one axis": {"kernel_size": (1, 5), "padding": (0, 2)},
    "grouped": {"kernel_size": 5, "padding": 2, "groups": 4},
}


@pytest.mark.parametrize("case", CASES)
def test_a_kernel_whose_rim_is_zero_computes_the_same_without_it(case: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, **CASES[case])
    rims = [max(0, length - 3) // 2 for length in layer.kernel_size]
    inner = torch.zeros_like(layer.weight)
    middle = (..., *(slice(rim, length - rim) for rim, length in zip(rims, layer.kernel_size, strict=True)))
    inner[middle] = layer.weight.detach()[middle]
    layer.weight.data = inner
    made, count = trimmed(nn.Sequential(layer), 3)
    image = torch.randn(2, 4, 11, 11)
    assert count == 1
    assert max(made[0].weight.shape[2:]) == 3
    assert torch.allclose(made(image), layer(image), atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(4, 8, 5),
        nn.Conv2d(4, 8, 7, padding=1),
        nn.Conv2d(4, 8, 4, padding=2),
        nn.Conv2d(4, 8, 5, padding="valid"),
        nn.Conv2d(4, 8, 5, padding=2, padding_mode="reflect"),
    ],
)
def test_kernels_that_could_not_be_trimmed_without_moving_the_outputs_stay(layer: nn.Conv2d) -> None:
    made, count = trimmed(nn.Sequential(layer), 3)
    assert count == 0
    assert torch.equal(made[0].weight, layer.weight)


class Wide(nn.Module):
    """Pictures [N, 3, 8, 8] to five logits, by kernels of 5×5."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 5, padding=2, stride=2)
        )
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)).mean((2, 3)))  # type: ignore[no-any-return]


def test_work_that_kernels_lose_counts_and_fewer_channels_go_for_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    workshop, model = Workshop(tmp_path, "torch-export"), exported(Wide().eval(), tmp_path / "wide.pt2", (3, 8, 8))
    data, share = examples(workshop), {"macs_removed": 0.9}
    usual = workshop.apply("torch-prune", model, data, LABELLED, **share).result.evidence
    made = workshop.apply("torch-prune", model, data, LABELLED, kernel_side=3, **share)
    evidence = made.result.evidence
    assert evidence["kernels_trimmed"] == 2
    assert "kernels_trimmed" not in usual
    assert evidence["macs_before"] == usual["macs_before"]
    assert evidence["macs_removed"] == pytest.approx(0.9, abs=0.05)
    assert evidence["channels_after"] > usual["channels_after"]
    weights = load_model(made.artifact, tmp_path).module.state_dict()
    assert {tuple(weight.shape[2:]) for weight in weights.values() if weight.ndim == 4} == {(3, 3)}
    assert load_model(made.artifact, tmp_path).run({"x": pictures(7)})[0].shape == (7, 5)
