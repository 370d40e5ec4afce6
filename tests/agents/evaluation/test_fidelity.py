"""Without labels the original is the truth: whatever an output is, a candidate that gives something else loses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.fidelity import FidelityMeter
from apps.agents.evaluation.metrics import order_metrics, scorer_for
from apps.agents.evaluation.plausibility import unrelated_outputs

EXAMPLES = 48
NO_DROP = 1.0
"""Points within which a candidate would pass for the original."""
FIDELITY = DatasetSpec(kind="npz", task="fidelity")
Change = Callable[[np.ndarray], np.ndarray]
CHANGES: dict[str, Change] = {
    "constant": lambda y: np.full_like(y, y.mean()),
    "nothing": np.zeros_like,
    "scaled": lambda y: 3 * y,
    "shrunk": lambda y: y / 10,
    "negated": np.negative,
    "turned and scaled": lambda y: -3 * y,
    "shuffled": lambda y: np.roll(y, 7, axis=0),
    "shifted": lambda y: y + 2 * np.abs(y).max() + 1,
}
NUMBERS = [(1,), (), (1, 1), (3, 5), (2, 3, 4), (1, 1, 7)]
"""Shapes of one example that are no scores of classes."""


def metrics_of(original: np.ndarray, candidate: np.ndarray, spec: DatasetSpec = FIDELITY) -> list[MetricComparison]:
    """The comparisons after two batches, the primary one first."""
    scorer = scorer_for(spec, original.shape, ())
    for part in (slice(None, 20), slice(20, None)):
        scorer.add(original[part], candidate[part], None)
    return list(order_metrics(scorer.comparisons(0.95, seed=1), spec.primary_metric))


def outputs(shape: tuple[int, ...], size: float, offset: float, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(offset, 1, size=(EXAMPLES, *shape))
    return (drawn * size).astype(np.float32)


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=8, deadline=None)
@given(
    shape=st.sampled_from(NUMBERS),
    size=st.sampled_from([1e-4, 1.0, 1e4]),
    offset=st.sampled_from([-20.0, 0.0, 1.0, 20.0]),
    seed=st.integers(0, 50),
)
def test_numbers_that_are_others_never_pass_for_the_original(
    change: str, shape: tuple[int, ...], size: float, offset: float, seed: int
) -> None:
    original = outputs(shape, size, offset, seed)
    primary = metrics_of(original, CHANGES[change](original))[0]
    assert primary.metric == Metric.R2
    assert primary.drop.value > NO_DROP


@settings(max_examples=20, deadline=None)
@given(shape=st.sampled_from([*NUMBERS, (5,)]), size=st.sampled_from([1e-4, 1.0, 1e4]), seed=st.integers(0, 50))
def test_numbers_that_are_nearly_the_same_lose_nearly_nothing(shape: tuple[int, ...], size: float, seed: int) -> None:
    original = outputs(shape, size, 5.0, seed)
    rounding = 1 + np.random.default_rng(seed).normal(0, 1e-5, size=original.shape)
    for found in metrics_of(original, original * rounding.astype(np.float32)):
        assert abs(found.drop.value) < 0.01, found


@settings(max_examples=20, deadline=None)
@given(change=st.sampled_from(sorted(CHANGES)), columns=st.integers(2, 6), seed=st.integers(0, 50))
def test_a_row_of_numbers_may_be_classes_but_nothing_else_passes_without_a_word(
    change: str, columns: int, seed: int
) -> None:
    original = outputs((columns,), 1.0, 0.0, seed)
    found = metrics_of(original, CHANGES[change](original))
    lost = found[0].drop.value > NO_DROP
    harmless = change in ("scaled", "shrunk")  # For scores of classes, which nobody has denied.
    assert lost or harmless or unrelated_outputs(found, FIDELITY)
    by_numbers = metrics_of(original, CHANGES[change](original), FIDELITY.model_copy(update={"metric": Metric.R2}))
    assert by_numbers[0].drop.value > NO_DROP


def test_who_calls_it_classes_is_not_asked_again() -> None:
    original = outputs((4,), 1.0, 0.0)
    said = FIDELITY.model_copy(update={"metric": Metric.AGREEMENT})
    assert unrelated_outputs(metrics_of(original, original + 20), FIDELITY)
    assert unrelated_outputs(metrics_of(original, original + 20, said), said) == ()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("kind", ["int64", "uint8", "bool", "str"])
def test_labels_are_the_same_or_not(shape: tuple[int, ...], kind: str) -> None:
    original = np.random.default_rng(1).integers(0, 2 if kind == "bool" else 5, size=(EXAMPLES, *shape)).astype(kind)
    candidate = original.copy()
    candidate[:6] = np.roll(np.array(["0", "1", "2", "3", "4"]), 1)[original[:6].astype(float).astype(int)].astype(kind)
    if kind == "bool":
        candidate[:6] = ~original[:6]
    found = metrics_of(original, candidate)
    assert [metric.metric for metric in found] == ["agreement"]
    assert found[0].drop.value == pytest.approx(100 * 6 / EXAMPLES)
    assert metrics_of(original, original)[0].drop.value == 0


def test_a_map_of_labels_counts_by_its_share_of_equal_ones() -> None:
    original = np.zeros((EXAMPLES, 4, 4), np.int64)
    candidate = original.copy()
    candidate[:, 0] = 1
    assert metrics_of(original, candidate)[0].drop.value == pytest.approx(25)


@pytest.mark.parametrize("shape", [(3, 5), (1,), (6,)])
def test_a_mask_of_infinities_is_the_same_or_not(shape: tuple[int, ...]) -> None:
    original = outputs(shape, 1.0, 0.0)
    original[::3] = -np.inf
    assert all(found.drop.value == 0 for found in metrics_of(original, original))
    for changed in (np.where(np.isinf(original), 0, original), -original, np.where(original > 0, np.inf, original)):
        found = metrics_of(original, changed.astype(np.float32))
        assert all(np.isfinite(metric.drop.value) for metric in found)
        assert max(metric.drop.value for metric in found) > NO_DROP


def test_outputs_that_do_not_vary_are_held_against_their_own_size() -> None:
    original = np.full((EXAMPLES, 1), 20.0, np.float32)
    assert metrics_of(original, original)[0].drop.value == 0
    assert metrics_of(original, original * np.float32(1 + 1e-6))[0].drop.value < 0.01
    assert metrics_of(original, original * 1.01)[0].drop.value > 50
    assert metrics_of(np.zeros_like(original), original)[0].drop.value == pytest.approx(100)


def test_rows_of_another_length_in_each_batch_are_compared_all_the_same() -> None:
    scorer = scorer_for(FIDELITY, (20, 7, 3), ())
    for tokens in (7, 4):
        rows = np.random.default_rng(tokens).normal(size=(20, tokens, 3))
        scorer.add(rows, rows + 1, None)
    assert scorer.comparisons(0.95, seed=1)[0].drop.value == pytest.approx(100, rel=0.2)


def test_tokens_pooled_to_an_embedding_are_no_scores_of_classes() -> None:
    spec = FIDELITY.model_copy(update={"pooling": "mean"})
    assert metrics_of(outputs((8,), 1.0, 0.0), outputs((8,), 1.0, 0.0), spec)[0].metric == Metric.R2


@pytest.mark.parametrize("pairs", [False, True])
def test_a_single_number_is_no_embedding(pairs: bool) -> None:
    scorer = scorer_for(DatasetSpec(kind="npz", task="embedding", pairs=pairs), (4, 1), ())
    with pytest.raises(OutputUnfit, match="a single number is a regression"):
        scorer.add(np.ones((4, 1)), np.ones((4, 1)), np.ones(2 if pairs else (4, 1)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_the_direction_of_single_numbers_is_that_of_their_column(shape: tuple[int, ...]) -> None:
    original = np.abs(outputs(shape, 1.0, 0.0)) + 1
    candidate = np.roll(original**4, 5, axis=0)
    meter = FidelityMeter(["y"])
    for part in (slice(None, 20), slice(20, None)):
        meter.add([original[part]], [candidate[part]])
    a, b = original.ravel(), candidate.ravel()
    assert meter.report(None).cosine == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), rel=1e-5)
    assert meter.report(None).cosine < 0.95
