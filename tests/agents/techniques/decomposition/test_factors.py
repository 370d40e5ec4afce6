"""The factors of a layer: exact where they may be, and as near as promised where they may not."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from apps.agents.techniques.decomposition.canonical import alternated, canonical_maker
from apps.agents.techniques.decomposition.channel import channel_maker
from apps.agents.techniques.decomposition.factors import Factors, Maker
from apps.agents.techniques.decomposition.layer import DenseLayer
from apps.agents.techniques.decomposition.spatial import spatial_maker
from apps.agents.techniques.decomposition.spread import Spread
from apps.agents.techniques.decomposition.tucker import tucker_maker
from tests.agents.techniques.decomposition.layers import convolution, product, uneven

FORMS = ("spatial", "spatial-transposed", "channel", "tucker", "cp")


def maker(form: str, layer: DenseLayer, spread: Spread) -> Maker:
    if form.startswith("spatial"):
        return spatial_maker(layer, spread, int(form.endswith("transposed")))
    if form == "tucker":
        return tucker_maker(layer, spread, 1)
    return canonical_maker(layer, spread, 0) if form == "cp" else channel_maker(layer, spread)


def plain(layer: DenseLayer) -> Spread:
    return Spread.unknown(layer.matrix.shape[1])


def multiplied(factors: Factors) -> np.ndarray:
    """The weight that the stages multiply to, from the stages themselves. Each axis has one kernel longer than 1."""
    weights = [
        np.einsum("rs,rij->rsij", np.eye(stage.groups), stage.weight[:, 0]) if stage.groups > 1 else stage.weight
        for stage in factors.stages
    ]

    def combined(first: np.ndarray, later: np.ndarray) -> np.ndarray:
        both = np.einsum("mrij,rckl->mcikjl", later, first)
        return both.reshape(*both.shape[:2], both.shape[2] * both.shape[3], -1)

    return reduce(combined, weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("form", "rank"), [("spatial", 3), ("spatial-transposed", 3), ("channel", 4), ("tucker", 6)])
def test_at_the_rank_of_the_weight_nothing_is_lost(form: str, rank: int, weighted: bool):
    random = np.random.default_rng(5)
    shapes = {
        "spatial": ("mrj,rci->mcij", (12, 3, 3), (3, 8, 3)),
        "spatial-transposed": ("mri,rcj->mcij", (12, 3, 3), (3, 8, 3)),
        "channel": ("mr,rcij->mcij", (12, 4), (4, 8, 3, 3)),
        "tucker": ("mrij,rc->mcij", (12, 4, 3, 3), (4, 8)),
    }
    rule, *parts = shapes[form]
    weight = np.einsum(rule, *(random.normal(size=shape) for shape in parts))
    if form == "tucker":
        weight = np.einsum("mn,ncij->mcij", random.normal(size=(12, 6)), weight[:6])
    layer = DenseLayer("conv", weight, (6, 6), (6, 6))
    made = maker(form, layer, uneven(layer) if weighted else plain(layer))(rank)
    assert made.lost < 1e-6
    assert np.allclose(made.product, layer.matrix, atol=1e-4 * np.abs(layer.matrix).max())


@pytest.mark.parametrize("form", FORMS)
def test_the_stages_multiply_to_the_weight_that_is_judged(form: str):
    layer = convolution()
    made = maker(form, layer, uneven(layer))(5)
    weight = made.product.reshape(layer.weight.shape)
    found = multiplied(made)
    assert made.lost == pytest.approx(uneven(layer).lost(layer.matrix, made.product), rel=1e-5)
    assert np.allclose(found, weight)


def test_a_weighted_product_of_two_is_the_truncated_svd_of_what_the_inputs_show():
    layer = product()
    spread = uneven(layer)
    values = np.linalg.svd(layer.matrix @ np.linalg.cholesky(spread.covariance), compute_uv=False)
    made = channel_maker(layer, spread)(4)
    assert spread.energy(layer.matrix - made.product) == pytest.approx(np.square(values[4:]).sum(), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_weighing_by_the_inputs_loses_less_of_the_outputs_than_not(form: str):
    layer = convolution(16, 12)
    spread = uneven(layer)
    lost = [spread.lost(layer.matrix, maker(form, layer, one)(8).product) for one in (plain(layer), spread)]
    assert lost[1] < 0.95 * lost[0]


def test_a_tensor_that_is_a_sum_of_few_is_found_again():
    random = np.random.default_rng(0)
    parts = [random.normal(size=(length, 3)) for length in (8, 12, 9)]
    tensor = np.einsum("ar,br,cr->abc", *parts)
    found = np.einsum("ar,br,cr->abc", *alternated(tensor, 4, 0))
    assert np.linalg.norm(found - tensor) < 0.02 * np.linalg.norm(tensor)


def test_work_is_counted_where_each_stage_runs():
    layer = DenseLayer("down", np.ones((32, 16, 3, 3)), (10, 10), (5, 5))
    columns = spatial_maker(layer, plain(layer), 0)(8)
    assert columns.macs(layer) == (5 * 10) * (8 * 16 * 3) + (5 * 5) * (32 * 8 * 3)
    tucker = tucker_maker(layer, plain(layer), 1)(8)
    assert tucker.macs(layer) == 100 * (4 * 16) + 25 * (8 * 4 * 9) + 25 * (32 * 8)
    rows = DenseLayer("rows", np.ones((6, 4)), rows=7)
    assert channel_maker(rows, plain(rows))(2).macs(rows) == 7 * (2 * 4 + 6 * 2)


def test_channels_between_stages_have_the_spread_of_the_weights_that_read_them():
    layer = product()
    spread = uneven(layer)
    first, last = channel_maker(layer, spread)(6).stages
    deviations = np.sqrt(np.diag(first.weight @ spread.covariance @ first.weight.T))
    assert deviations == pytest.approx(np.linalg.norm(last.weight, axis=0), rel=1e-6)


def test_a_bias_takes_over_what_the_mean_loses():
    layer = product()
    spread = uneven(layer)
    made = channel_maker(layer, spread)(3).product
    assert np.allclose(made @ spread.mean + spread.shift(layer.matrix, made), layer.matrix @ spread.mean)
    assert not plain(layer).shift(layer.matrix, made).any()
