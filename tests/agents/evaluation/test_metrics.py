"""The metrics of every task, against scikit-like arithmetic done by hand and scipy's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from apps.agents.contracts.dataset_spec import COUNTING, TASK_METRICS, DatasetSpec, Metric, Task
from apps.agents.contracts.errors.datasets import LabelsInvalid
from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputsNotFinite, OutputUnfit
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.fidelity import SQNR_CEILING_DB, FidelityMeter
from apps.agents.evaluation.metrics import Scorer, order_metrics, scorer_for
from apps.agents.evaluation.metrics.classification import macro_f1
from apps.agents.evaluation.metrics.embedding import cosines, pooled

RANDOM = np.random.default_rng(11)


def scored(
    spec: DatasetSpec,
    original: np.ndarray,
    candidate: np.ndarray,
    labels: np.ndarray | None,
    classes: Sequence[str] = (),
) -> tuple[Scorer, dict[str, MetricComparison]]:
    """The scorer after two batches, and its comparisons by metric. Batches of pairs are made of both halves."""
    scorer = scorer_for(spec, original.shape, classes)
    half = len(labels if labels is not None else original) // 2
    for part in (slice(None, half), slice(half, None)):
        if spec.pairs:
            n = len(original) // 2
            cut = [np.concatenate([array[:n][part], array[n:][part]]) for array in (original, candidate)]
        else:
            cut = [original[part], candidate[part]]
        scorer.add(*cut, None if labels is None else labels[part])
    return scorer, {found.metric: found for found in scorer.comparisons(0.95, seed=1)}


CLASSIFY = DatasetSpec(kind="npz", task="classification")


def test_classification_counts_top_1_top_5_flips_and_recalls() -> None:
    labels = np.arange(200) % 8
    original = np.eye(8)[labels] * 2 + RANDOM.random((200, 8))
    candidate = original.copy()
    candidate[:4] = np.roll(candidate[:4], 1, axis=1)
    scorer, found = scored(CLASSIFY, original, candidate, labels, [f"class {n}" for n in range(8)])
    top1 = found["top1"]
    assert (top1.original.value, top1.candidate.value) == (100.0, 98.0)
    assert top1.drop.value == pytest.approx(2.0)
    assert (top1.drop.low or 0) < 2.0 < (top1.drop.high or 0)
    assert (top1.test, top1.p_value) == ("mcnemar", pytest.approx(2 / 2**4))
    assert "top5" in found
    flips = scorer.flips()
    assert flips is not None
    assert (flips.lost, flips.won, flips.changed, flips.both_right, flips.both_wrong) == (4, 0, 4, 196, 0)
    first = scorer.classes(0.95)[0]
    assert (first.label, first.examples, first.original_recall, first.candidate_recall) == ("class 0", 25, 100.0, 96.0)
    agreement = scorer.agreement(0.95)
    assert agreement is not None
    assert agreement.value == 98.0


def test_few_classes_have_no_top_5() -> None:
    _, found = scored(CLASSIFY, RANDOM.random((40, 3)), RANDOM.random((40, 3)), np.arange(40) % 3)
    assert set(found) == {"top1", "macro_f1"}


def test_macro_f1_is_the_mean_of_the_classes() -> None:
    labels, predictions = np.array([[0, 0, 1, 1, 2]]), np.array([[0, 1, 1, 1, 0]])
    # Class 0: 1 right of 2 true and 2 predicted; class 1: 2 of 2 and 3; class 2: none of 1 and 0.
    assert macro_f1(labels, predictions)[0] == pytest.approx((2 / 4 + 4 / 5 + 0) / 3)


def test_a_label_that_the_model_has_no_score_for_is_refused() -> None:
    with pytest.raises(LabelsInvalid, match="largest label is 7, but the model has 4 classes"):
        scored(CLASSIFY, np.zeros((20, 4)), np.zeros((20, 4)), np.full(20, 7))


@pytest.mark.parametrize("scores", [np.linspace(0, 1, 40)[:, None], np.linspace(-3, 3, 40)[:, None]])
def test_a_single_score_is_a_probability_or_a_logit(scores: np.ndarray) -> None:
    _, found = scored(CLASSIFY, scores, scores, (np.arange(40) >= 20).astype(int))
    assert found["top1"].original.value == 100.0


def test_a_class_number_is_a_prediction() -> None:
    labels = np.arange(40) % 5
    _, found = scored(CLASSIFY, labels.astype(np.int64), np.zeros(40, np.int64), labels)
    assert (found["top1"].original.value, found["top1"].candidate.value) == (100.0, 20.0)


def test_a_map_of_scores_is_no_classification() -> None:
    with pytest.raises(OutputUnfit, match=r"\[20, 4, 8, 8\]"):
        scored(CLASSIFY, np.zeros((40, 4, 8, 8)), np.zeros((40, 4, 8, 8)), np.zeros(40, int))


def test_regression_measures_errors_in_the_labels_unit() -> None:
    truth = RANDOM.normal(10, 3, size=300)
    original, candidate = truth + RANDOM.normal(0, 0.5, 300), truth + RANDOM.normal(0, 1.0, 300)
    _, found = scored(DatasetSpec(kind="npz", task="regression"), original[:, None], candidate[:, None], truth)
    mae, rmse, r2 = found["mae"], found["rmse"], found["r2"]
    assert mae.original.value == pytest.approx(np.abs(original - truth).mean())
    assert rmse.candidate.value == pytest.approx(np.sqrt(((candidate - truth) ** 2).mean()))
    assert r2.original.value == pytest.approx(100 * (1 - ((original - truth) ** 2).mean() / truth.var()))
    assert mae.drop.value == pytest.approx(mae.candidate.value - mae.original.value)
    assert (mae.drop.low or 0) > 0
    assert mae.p_value < 0.01
    assert not mae.higher_is_better


def test_labels_of_another_size_than_the_output_are_refused() -> None:
    with pytest.raises(OutputUnfit, match="3 numbers per example"):
        scored(DatasetSpec(kind="npz", task="regression"), np.zeros((20, 2)), np.zeros((20, 2)), np.zeros((20, 3)))


def test_pairs_are_judged_by_spearman() -> None:
    left, right = RANDOM.normal(size=(120, 6)), RANDOM.normal(size=(120, 6))
    score = cosines(left, right) + RANDOM.normal(0, 0.3, 120)
    outputs = np.concatenate([left, right])
    noisy = outputs + RANDOM.normal(0, 0.5, outputs.shape)
    _, found = scored(DatasetSpec(kind="npz", task="embedding", pairs=True), outputs, noisy, score)
    spearman = found["spearman"]
    assert spearman.original.value == pytest.approx(100 * stats.spearmanr(cosines(left, right), score).statistic)
    expected = stats.spearmanr(cosines(noisy[:120], noisy[120:]), score).statistic
    assert spearman.candidate.value == pytest.approx(100 * expected)
    assert (spearman.drop.low or 0) <= spearman.drop.value <= (spearman.drop.high or 0)


def test_embeddings_are_judged_by_their_direction() -> None:
    labels = RANDOM.normal(size=(60, 5))
    _, found = scored(DatasetSpec(kind="npz", task="embedding"), labels * 3, -labels, labels)
    assert found["cosine"].original.value == pytest.approx(100)
    assert found["cosine"].candidate.value == pytest.approx(-100)


def test_cosines_of_nothing_are_defined() -> None:
    zeros, ones = np.zeros((1, 3)), np.ones((1, 3))
    assert cosines(zeros, zeros)[0] == 1.0
    assert cosines(zeros, ones)[0] == 0.0


def test_pooling_leaves_padding_out() -> None:
    tokens = np.array([[[1.0, 1.0], [3.0, 3.0], [99.0, 99.0]]])
    assert pooled(tokens, "mean", np.array([[1, 1, 0]])).tolist() == [[2.0, 2.0]]
    assert pooled(tokens, "first", None).tolist() == [[1.0, 1.0]]
    assert pooled(tokens, "none", None) is tokens


def test_fidelity_counts_agreement_of_classes_and_directions() -> None:
    original = np.eye(4)[np.arange(50) % 4]
    candidate = original.copy()
    candidate[:5] = np.roll(candidate[:5], 1, axis=1)
    scorer, found = scored(DatasetSpec(kind="npz", task="fidelity"), original, candidate, None)
    agreement = found["agreement"]
    assert (agreement.original.value, agreement.original.low) == (100.0, None)
    assert agreement.candidate.value == 90.0
    assert agreement.drop.value == pytest.approx(10.0)
    assert agreement.drop.low == pytest.approx(100 - (agreement.candidate.high or 0))
    assert found["cosine"].drop.value == pytest.approx(10.0)
    assert scorer.flips() is None


@pytest.mark.parametrize(
    ("shape", "metric", "first"),
    [
        ((8, 10), None, "agreement"),
        ((8, 1, 1, 96), None, "r2"),
        ((8, 1, 1, 96), "agreement", "agreement"),
        ((8, 96), "cosine", "cosine"),
    ],
)
def test_fidelity_takes_an_output_for_classes_only_where_its_shape_or_the_member_says_so(
    shape: tuple[int, ...], metric: str | None, first: str
) -> None:
    output = np.random.default_rng(0).normal(size=shape)
    spec = DatasetSpec(kind="npz", task="fidelity", metric=metric)
    _, found = scored(spec, output, output, None)
    assert order_metrics(list(found.values()), spec.primary_metric)[0].metric == first


def test_fidelity_of_a_map_is_what_its_numbers_explain() -> None:
    original = RANDOM.normal(size=(40, 3, 5, 5))
    _, found = scored(DatasetSpec(kind="npz", task="fidelity"), original, original, None)
    assert list(found) == ["r2", "cosine"]
    assert {comparison.drop.value for comparison in found.values()} == {0.0}


def test_the_primary_metric_comes_first() -> None:
    _, found = scored(CLASSIFY, RANDOM.random((40, 8)), RANDOM.random((40, 8)), np.arange(40) % 8)
    assert order_metrics(list(found.values()), Metric.MACRO_F1)[0].metric == "macro_f1"
    assert [metric.metric for metric in order_metrics(list(found.values()), Metric.TOP1)] == [
        "top1",
        "top5",
        "macro_f1",
    ]


# --- closeness of outputs --------------------------------------------------------------------------------------------


def test_sqnr_is_signal_over_noise_over_all_batches() -> None:
    meter = FidelityMeter(["y"])
    signal = RANDOM.normal(size=(100, 7)).astype(np.float32)
    noise = (0.01 * RANDOM.normal(size=(100, 7))).astype(np.float32)
    for part in (slice(0, 30), slice(30, 100)):
        meter.add([signal[part]], [signal[part] + noise[part]])
    report = meter.report(None)
    assert report.sqnr_db == pytest.approx(10 * np.log10((signal**2).sum() / (noise**2).sum()), abs=0.01)
    assert report.max_abs_error == pytest.approx(np.abs(noise).max(), rel=1e-3)
    assert report.mean_abs_error == pytest.approx(np.abs(noise).mean(), rel=1e-3)
    assert not meter.identical


def test_equal_outputs_are_identical_and_stay_numbers() -> None:
    meter = FidelityMeter(["y"])
    meter.add([np.zeros((3, 2), np.float32)], [np.zeros((3, 2), np.float32)])
    assert meter.identical
    assert (meter.report(None).sqnr_db, meter.report(None).cosine) == (SQNR_CEILING_DB, 1.0)


def test_the_worst_output_counts() -> None:
    meter = FidelityMeter(["good", "bad"])
    y = np.ones((4, 3), np.float32)
    meter.add([y, y], [y, -y])
    assert meter.report(None).cosine == pytest.approx(-1.0)
    assert meter.report(None).max_abs_error == 2.0


def test_what_is_infinite_in_both_by_design_is_left_out() -> None:
    y = np.array([[1, -np.inf, 2], [3, -np.inf, np.nan]], np.float32)
    meter = FidelityMeter(["y"])
    meter.add([y], [y + 0.5])
    report = meter.report(None)
    assert report.max_abs_error == pytest.approx(0.5)
    assert 0.9 < report.cosine < 1
    for changed in (-y, np.nan_to_num(y), np.where(y > 2, np.inf, y)):
        with pytest.raises(OutputsNotFinite):
            FidelityMeter(["y"]).add([y], [changed])


def test_cosines_leave_out_what_is_infinite_in_both() -> None:
    y = np.array([[1, -np.inf, 2]], np.float32)
    assert cosines(y, y * 2).tolist() == [pytest.approx(1)]


def test_outputs_of_another_shape_or_without_a_number_are_refused() -> None:
    y = np.ones((4, 3), np.float32)
    with pytest.raises(OutputsDiffer, match=r"'y' has the shape \[4, 2\] instead of \[4, 3\]"):
        FidelityMeter(["y"]).add([y], [y[:, :2]])
    with pytest.raises(OutputsDiffer, match="0 outputs, and the original gives 1"):
        FidelityMeter(["y"]).add([y], [])
    with pytest.raises(OutputsNotFinite, match="candidate returns NaN"):
        FidelityMeter(["y"]).add([y], [y * np.nan])
    with pytest.raises(OutputsNotFinite, match="original returns NaN"):
        FidelityMeter(["y"]).add([y * np.inf], [y])


def test_macro_f1_is_no_surer_of_a_loss_than_top1_where_hardly_an_example_differs() -> None:
    """Resamples of 500 examples without a difference differ by nothing, and still a few in 1,000 may be lost."""
    labels = np.arange(500) % 10
    answers = np.eye(10)[labels]
    _, found = scored(DatasetSpec(kind="npz", task="classification"), answers, answers * 2, labels)
    top1, by_class = found["top1"].drop, found["macro_f1"].drop
    assert by_class.value == 0
    assert (by_class.low, by_class.high) == (top1.low, top1.high)
    assert top1.high > 0.5


# --- metrics that count -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.REGRESSION, Task.EMBEDDING, Task.FIDELITY])
def test_a_metric_counts_examples_that_are_right_if_it_is_among_those_that_do(task: Task) -> None:
    """Portions are promised for these before any scorer exists."""
    outputs = RANDOM.normal(size=(40, 1) if task is Task.REGRESSION else (40, 12))
    labels = {Task.CLASSIFICATION: RANDOM.integers(0, 12, 40), Task.FIDELITY: None}.get(task, outputs)
    scorer, _ = scored(DatasetSpec(kind="npz", task=task), outputs, outputs, labels)
    for metric in TASK_METRICS[task]:
        assert (scorer.right(metric) is not None) is (metric in COUNTING), metric
