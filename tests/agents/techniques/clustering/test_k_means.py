"""K-means on a line: no more values than asked for, near the weights, and zeros of pruned weights stay."""

from __future__ import annotations

import numpy as np
import pytest

from apps.agents.techniques.clustering.k_means import clustered, codebook_of


def normal(count: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).normal(size=count).astype(dtype)


def test_clusters_that_are_there_are_found() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(at, 0.01, 50) for at in (-1.0, 0.0, 2.0)]).astype(np.float32)
    found = clustered(values.reshape(10, 15), 3)
    assert np.unique(found) == pytest.approx([-1, 0, 2], abs=0.02)
    assert (clustered(values, 3) == clustered(values, 3)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("clusters", [2, 3, 16, 256])
def test_there_are_no_more_values_than_clusters(clusters: int, dtype: str) -> None:
    found = clustered(normal(5000, dtype).reshape(50, 100), clusters)
    assert found.shape == (50, 100)
    assert found.dtype == dtype
    assert len(np.unique(found)) <= clusters


def test_twice_the_clusters_make_about_a_quarter_of_the_noise() -> None:
    weights = normal(20_000)
    noise = [float(np.square(clustered(weights, clusters) - weights).mean()) for clusters in (16, 32)]
    assert noise[0] < 0.02
    assert 0.15 < noise[1] / noise[0] < 0.4


def test_few_values_stay_as_they_are() -> None:
    weights = np.array([[1.0, 2.0], [2.0, 1.0]], np.float32)
    assert (clustered(weights, 2) == weights).all()


@pytest.mark.parametrize("clusters", [2, 16])
def test_a_pruned_tensor_keeps_its_zeros(clusters: int) -> None:
    weights = normal(2000)
    weights[np.abs(weights) < np.quantile(np.abs(weights), 0.6)] = 0
    found = clustered(weights, clusters)
    assert (found[weights == 0] == 0).all()
    assert len(np.unique(found)) <= clusters


def test_the_entropy_is_that_of_single_weights() -> None:
    codebook = codebook_of("w", np.array([[0.0, 1.0], [2.0, 3.0]], np.float32))
    assert (codebook.weights, codebook.values, codebook.bits_per_weight) == (4, 4, 2.0)
    assert codebook_of("w", np.zeros((2, 2), np.float32)).bits_per_weight == 0
