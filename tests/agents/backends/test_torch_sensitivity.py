"""What 8 bits in one type of part, and in one part alone, do to a PyTorch model's output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.analysis.engine import Sensitivity
from apps.agents.backends.torch.anatomy import dissect
from apps.agents.backends.torch.fake_quantization import (
    on_affine_grid,
    on_signed_grid,
    on_token_grid,
    quantizable,
    quantized,
)
from apps.agents.backends.torch.sensitivity import measure_sensitivity
from tests.agents import torch_models
from tests.agents.torch_models import Convolutional, model_of

OUTLIER = 10_000.0


class Fragile(nn.Module):
    """Four products. Before the third a feature of 10,000 is added that its weights ignore: no grid holds both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(torch_models.SEED)
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(4))
        self.outlier = nn.Parameter(torch.tensor([OUTLIER, 0, 0, 0, 0, 0, 0, 0]))
        with torch.no_grad():
            self.layers[2].weight[:, 0] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[1](self.layers[0](x)) + self.outlier
        return self.layers[3](self.layers[2](x))  # type: ignore[no-any-return]


def _features() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)}


def _measured(
    module: nn.Module, feeds: dict[str, np.ndarray], budget_s: float = 60, names: tuple[str, ...] = ("y",)
) -> Sensitivity:
    anatomy = dissect(model_of(module, names=names), Path())
    order = [part.name for part in anatomy.parts]
    return measure_sensitivity(anatomy, [feeds], order, budget_s=budget_s, tell=lambda *_: None)


def test_the_layer_that_was_made_fragile_is_found():
    found = _measured(Fragile(), _features())
    assert not found.notes
    assert min(found.layers, key=found.layers.__getitem__) == "layers.2"
    assert found.layers["layers.2"] < 5
    assert all(noise > 30 for name, noise in found.layers.items() if name != "layers.2")
    assert [(entry.op_type, entry.count) for entry in found.operators] == [("Linear", 4)]


@pytest.mark.parametrize("kind", ["state-dict", "torch-export", "torchscript"])
def test_afterwards_the_model_is_the_same_to_the_last_bit(tmp_path: Path, kind: str):
    pictures = {"x": np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)}
    torch.manual_seed(torch_models.SEED)
    anatomy = dissect(*torch_models.saved(Convolutional(), kind, pictures, tmp_path))
    before = anatomy.model.run(pictures)[0]
    types = quantizable(anatomy)
    assert set(types) == {"convolution", "depthwise", "transposed", "head"}
    found = measure_sensitivity(anatomy, [pictures], list(types), budget_s=60, tell=lambda *_: None)
    np.testing.assert_array_equal(anatomy.model.run(pictures)[0], before)
    assert set(found.layers) == set(types)
    assert all(15 < noise < 100 for noise in found.layers.values())
    assert bool(found.notes) == (kind == "torchscript")


def test_a_weight_that_two_layers_share_is_rounded_for_the_named_one():
    anatomy = dissect(torch_models.llama(), Path())
    module = anatomy.model.module
    exact = module.lm_head.weight
    with quantized(anatomy, {"lm_head"}, activations=False):
        assert module.model.embed_tokens.weight is exact
        assert not torch.equal(module.lm_head.weight, exact)
    assert module.lm_head.weight is exact


def test_the_output_that_loses_most_counts():
    class TwoEnds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near, self.far = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.near(x), self.far(x)

    found = _measured(TwoEnds(), _features(), names=("near", "far"))
    assert all(15 < noise < 80 for noise in found.layers.values())


def test_a_model_without_wide_weights_gets_a_note():
    found = _measured(nn.LayerNorm(8), _features())
    assert not found.layers
    assert "no part of the model has float weights" in found.notes[0]


def test_when_the_time_is_over_the_rest_stays_unknown_and_is_counted():
    found = _measured(Fragile(), _features(), budget_s=0)
    assert found.notes == ["The time for sensitivity (0 s) ran out before 4 layers were measured."]


def test_rows_and_channels_have_scales_of_their_own():
    values = torch.tensor([[1.0, 0.004], [100.0, 50.2]])
    assert on_signed_grid(values, 0)[0].tolist() == pytest.approx([1, 1 / 127], rel=1e-6)
    assert on_signed_grid(values, None)[0, 1] == 0
    assert on_token_grid(values)[0].tolist() == pytest.approx([1, 1 / 127], rel=1e-6)
    assert not on_signed_grid(torch.zeros(2, 2), 0).any()
    assert len(on_signed_grid(torch.randn(1, 1000), 0, bits=4).unique()) <= 15


def test_the_affine_grid_has_zero_on_it_and_is_half_a_step_fine():
    values = torch.linspace(-1, 4.1, 1000)
    on_grid = on_affine_grid(values)
    assert (on_grid - values).abs().max() <= 5.1 / 255
    assert on_affine_grid(torch.tensor([0.0, 3.0]))[0] == 0
    assert len(on_grid.unique()) <= 256
