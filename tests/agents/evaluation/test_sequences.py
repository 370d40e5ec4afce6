"""Sequence agreement: greedy decoding, edit distance, and what its interval may claim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.metric_fit import check_sequences, measurable
from apps.agents.evaluation.metrics import order_metrics, scorer_for
from apps.agents.evaluation.metrics.sequences import decoded, distance, edits

SEQUENCES = DatasetSpec(kind="npz", task="fidelity", metric="sequence_agreement")
CTC = DatasetSpec(kind="npz", task="fidelity", ctc_blank=0)
CLASSES = 4


def scores(steps: Sequence[Sequence[int]]) -> np.ndarray:
    """An output `[N, T, C]` whose best classes are `steps`."""
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(steps)]


def compared(original: np.ndarray, candidate: np.ndarray, spec: DatasetSpec = SEQUENCES) -> list[MetricComparison]:
    """The comparisons after two batches, the primary one first."""
    scorer, half = scorer_for(spec, original.shape, ()), len(original) // 2
    for part in (slice(None, half), slice(half, None)):
        scorer.add(original[part], candidate[part], None)
    return list(order_metrics(scorer.comparisons(0.95, seed=1), spec.primary_metric))


def by_table(one: Sequence[int], other: Sequence[int]) -> int:
    """The edit distance as textbooks compute it."""
    row = list(range(len(other) + 1))
    for place, value in enumerate(one, 1):
        before, row[0] = row[:], place
        for at, wanted in enumerate(other, 1):
            row[at] = min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (value != wanted))
    return row[-1]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=80), st.lists(st.integers(0, 3), max_size=80))
def test_the_bit_parallel_distance_is_the_textbooks(one: list[int], other: list[int]) -> None:
    assert edits(one, other) == by_table(one, other)


def test_ctc_merges_repeats_before_it_removes_the_blank() -> None:
    steps = np.array([0, 1, 1, 0, 1, 2, 2, 0])
    assert decoded(steps, 0).tolist() == [1, 1, 2]
    assert decoded(steps, None).tolist() == steps.tolist()
    assert distance(np.array([], np.int64), np.array([], np.int64)) == 0
    assert distance(np.array([1, 2, 3, 0]), np.array([1, 3, 0])) == 0.25


def test_a_shift_in_time_loses_nothing_with_ctc_and_much_step_by_step() -> None:
    random = np.random.default_rng(1)
    original = [[0, 0, *random.integers(1, CLASSES, 6), 0, 0] for _ in range(40)]
    later = [[0, *steps[:-1]] for steps in original]
    with_ctc, plain = compared(scores(original), scores(later), CTC)[0], compared(scores(original), scores(later))[0]
    assert with_ctc.metric == plain.metric == Metric.SEQUENCE_AGREEMENT
    assert with_ctc.drop.value == 0
    assert plain.drop.value == pytest.approx(20), "one insertion and one removal of ten"


def test_the_agreement_is_the_mean_over_examples() -> None:
    original = [[1, 2, 3, 1]] * 40
    candidate = [[1, 2, 3, 2]] * 20 + [[1, 2, 3, 1]] * 20
    found = compared(scores(original), scores(candidate))[0]
    assert found.original.value == 100
    assert found.candidate.value == pytest.approx(87.5)
    assert found.drop.value == pytest.approx(12.5)
    assert found.drop.low is not None
    assert found.drop.low > 5
    assert found.drop.high is not None
    assert found.drop.high < 18


def test_few_examples_without_a_change_prove_little() -> None:
    """Resampling equal values gives an interval without width, which would prove any limit."""
    same = scores([[1, 2, 3, 1]] * 40)
    found = compared(same, same)[0]
    assert found.drop.value == 0
    assert found.drop.high == pytest.approx(100 * (1.959964**2 / (40 + 1.959964**2)), abs=1e-3)
    assert found.candidate.low == pytest.approx(100 - found.drop.high)


def test_padding_is_not_compared() -> None:
    original, candidate = scores([[1, 2, 3, 1]] * 20), scores([[1, 2, 3, 2]] * 20)
    original[:, 3] = candidate[:, 3] = 0
    candidate[:, 3, 2] = 1
    scorer = scorer_for(SEQUENCES, original.shape, (), tokens=True)
    scorer.add(original, candidate, None)
    found = {one.metric: one for one in scorer.comparisons(0.95, 1)}
    assert found["sequence_agreement"].drop.value == 0


def test_an_output_of_three_axes_is_still_judged_by_r2_unless_sequences_are_asked_for() -> None:
    fidelity = DatasetSpec(kind="npz", task="fidelity")
    output = scores([[1, 2, 3, 1]] * 40)
    assert [one.metric for one in compared(output, output, fidelity)] == [Metric.R2, Metric.COSINE]
    scorer = scorer_for(fidelity, output.shape, (), limited={Metric.SEQUENCE_AGREEMENT: 1.0})
    scorer.add(output, output, None)
    ordered = [one.metric for one in order_metrics(scorer.comparisons(0.95, 1), fidelity.primary_metric)]
    assert ordered == [Metric.R2, Metric.COSINE, Metric.SEQUENCE_AGREEMENT], (
        "what is only limited is not the primary one"
    )


def output(*shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="out", dtype=dtype, shape=("N", *shape))


@pytest.mark.parametrize(
    ("spec", "shape", "why"),
    [
        (SEQUENCES, (5,), "at each step"),
        (SEQUENCES, (3, 4, 5), "at each step"),
        (SEQUENCES, (7, 1), "at each step"),
        (CTC.model_copy(update={"ctc_blank": 9}), ("T", 9), "the blank is class 9"),
    ],
)
def test_what_is_not_a_sequence_is_refused_before_the_start(
    spec: DatasetSpec, shape: tuple[int | str, ...], why: str
) -> None:
    with pytest.raises(OutputUnfit, match=why):
        check_sequences(spec, output(*shape))


def test_what_may_be_sequences_is_not_refused() -> None:
    for shape in (("T", 5), ("T", "C"), (7, 2)):
        check_sequences(SEQUENCES, output(*shape))
        assert Metric.SEQUENCE_AGREEMENT in measurable(SEQUENCES, output(*shape))
    check_sequences(CTC.model_copy(update={"ctc_blank": -1}), output("T", 5))
    assert Metric.SEQUENCE_AGREEMENT not in measurable(SEQUENCES, output(5))
    assert measurable(SEQUENCES, output(5, dtype="int64")) == (Metric.AGREEMENT,)


@pytest.mark.parametrize(
    "body",
    [
        {"task": "classification", "ctc_blank": 0},
        {"task": "fidelity", "metric": "sequence_agreement", "pooling": "mean"},
        {"task": "fidelity", "ctc_blank": 0, "pooling": "mean"},
        {"task": "fidelity", "ctc_blank": -2},
        {"task": "classification", "metric": "sequence_agreement"},
    ],
)
def test_specs_that_make_no_sense_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DatasetSpec.model_validate({"kind": "npz", **body})
