"""The luck of having come out best, taken off; and what each example adds, kept small."""

from __future__ import annotations

import numpy as np
import pytest

from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.evaluation.metrics.comparing import Scorer
from apps.agents.evaluation.metrics.embedding import VectorScorer
from apps.agents.evaluation.metrics.fidelity import FidelityScorer
from apps.agents.evaluation.metrics.regression import RegressionScorer
from apps.agents.evaluation.selection_bias import Rivals, best_within, first_proven, packed, unpacked

EXAMPLES = 400


def flips(random: np.random.Generator, drop: float, discordant: float = 4.0) -> np.ndarray:
    """What each example adds to the drop: `drop` points on the average, and so many per cent of them differ."""
    lost, won = (discordant + drop) / 200, (discordant - drop) / 200
    return random.choice([100.0, -100.0, 0.0], EXAMPLES, p=[lost, won, 1 - lost - won])


def test_flips_are_kept_as_their_places_and_come_back() -> None:
    losses = np.array([0.0, 100.0, 0.0, -100.0, 100.0])
    kept = packed(losses)
    assert (kept.lost, kept.won, kept.differences) == ((1, 4), (3,), None)
    assert np.array_equal(unpacked(PairedOutcomes.model_validate_json(kept.model_dump_json())), losses)


def test_other_differences_are_kept_in_two_bytes_each() -> None:
    losses = np.random.default_rng(0).normal(0, 1e6, 1000)
    kept = packed(losses)
    assert kept.differences is not None
    assert len(kept.differences) < 2 * 1000 * 4 / 3 + 4
    assert unpacked(kept) == pytest.approx(losses, rel=1e-3, abs=1e6 * 1e-3)


def test_outcomes_of_other_examples_or_none_are_not_mixed() -> None:
    some = packed(np.zeros(10))
    assert Rivals.of({"a": some, "b": None}) is None
    assert Rivals.of({"a": some, "b": packed(np.zeros(10), "another order")}) is None
    assert Rivals.of({}) is None
    looked_less = Rivals.of({"a": some, "b": packed(np.zeros(6))})
    assert looked_less is not None
    assert looked_less.losses.shape == (2, 6)


@pytest.mark.parametrize("count", [6, 12, 24])
def test_the_drop_of_whom_ranking_takes_is_too_good_and_is_mended(count: int) -> None:
    """All lose one point. By the drop alone the best of them seems to gain, and the correction takes most of it off."""
    random = np.random.default_rng(3)
    plain, corrected = [], []
    for _ in range(30):
        rivals = Rivals.of({str(at): packed(flips(random, 1.0)) for at in range(count)})
        assert rivals is not None
        found = rivals.corrected(lambda drops, errors: drops.argmin(0), "points", seed=1)
        assert found is not None
        plain.append(found.plain)
        corrected.append(found.corrected)
    assert np.mean(plain) < -0.1
    assert np.mean(corrected) == pytest.approx(1.0, abs=0.35)


def test_a_choice_that_does_not_look_at_the_drop_needs_no_correction() -> None:
    random = np.random.default_rng(4)
    rivals = Rivals.of({"a": packed(flips(random, 0.0)), "b": packed(flips(random, 0.0))})
    assert rivals is not None
    found = rivals.corrected(best_within([1.0, 2.0], limit=50.0), "points", seed=1)
    assert found is not None
    assert found.candidate == "b"
    assert found.corrected == pytest.approx(found.plain, abs=0.15)


def test_judging_takes_the_first_that_is_proven_and_nobody_where_none_is() -> None:
    drops, errors = np.array([[0.5, 3.0], [0.0, 3.0]]), np.array([[0.5, 0.1], [0.1, 0.1]])
    assert first_proven(1.0, 0.95)(drops, errors).tolist() == [1, -1]
    assert best_within([2.0, 1.0], 1.0)(drops, errors).tolist() == [0, -1]
    hopeless = Rivals.of({"a": packed(flips(np.random.default_rng(5), 4.0))})
    assert hopeless is not None
    assert hopeless.corrected(first_proven(1.0, 0.95), "points", seed=1) is None


# --- what each metric says of single examples ------------------------------------------------------------------------


def outputs(columns: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    original = random.normal(size=(200, columns))
    return original, original + random.normal(scale=0.5, size=original.shape)


@pytest.mark.parametrize(
    ("scorer", "metric"),
    [
        (VectorScorer(), Metric.COSINE),
        (RegressionScorer(), Metric.MAE),
        (FidelityScorer(by_class=False), Metric.R2),
        (FidelityScorer(by_class=False), Metric.COSINE),
        (FidelityScorer(by_class=True), Metric.AGREEMENT),
    ],
)
def test_the_mean_of_what_examples_add_is_the_drop(scorer: Scorer, metric: Metric) -> None:
    original, candidate = outputs(4)
    truth = original + np.random.default_rng(8).normal(size=original.shape)
    scorer.add(original, candidate, truth)
    losses = scorer.losses(metric)
    found = next(one for one in scorer.comparisons(0.95, seed=1) if one.metric == metric)
    assert losses is not None
    assert len(losses) == 200
    assert losses.mean() == pytest.approx(found.drop.value)


def test_one_share_alone_is_compared_as_it_is_among_all() -> None:
    original, candidate = outputs(4)
    scorer = FidelityScorer(by_class=True)
    scorer.add(original, candidate, None)
    found = next(one for one in scorer.comparisons(0.9, seed=1) if one.metric == Metric.AGREEMENT)
    assert scorer.share(Metric.AGREEMENT, 0.9) == found
    assert scorer.share(Metric.R2, 0.9) is None
