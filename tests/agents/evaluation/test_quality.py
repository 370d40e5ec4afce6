"""Which examples an evaluation uses, when it has seen enough of them, and what it keeps of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.measured import MetricMeasured
from apps.agents.evaluation.quality import Outputs, OutputsComparison, Question
from apps.agents.evaluation.selection_bias import unpacked
from apps.agents.evaluation.verdicts import judge_metric
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.statistics.certainty import shared_confidence
from apps.agents.measuring.statistics.group_sequential import critical_values
from apps.agents.measuring.statistics.intervals import confidence_of, share_difference
from tests.agents.evaluation.test_evaluation import product
from tests.agents.told import Told

EXAMPLES = 6000
CLASSIFY = DatasetSpec(kind="npz", task="classification")
LIMIT = Criteria(constraints=Constraints(max_metric_drop_points=5.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors whose class is that of their largest entry of three, sorted by class as many files are."""
    random = np.random.default_rng(5)
    x = random.normal(size=(EXAMPLES, 3)).astype(np.float32)
    y = x.argmax(1)
    order = np.argsort(y, kind="stable")
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, x=x[order], y=y[order])
    return path


def compared(
    tmp_path: Path, data: Path, weights: np.ndarray, question: Question, spec: DatasetSpec = CLASSIFY
) -> Outputs:
    """The identity as the original, `weights` as the candidate."""
    paths = [product(tmp_path / f"{name}.onnx", matrix) for name, matrix in (("a", np.eye(3)), ("b", weights))]
    engines = [open_engine("onnx", path, tmp_path) for path in paths]
    dataset = load_dataset(data, spec, engines[0].summary.inputs, seed=1).measured_on(question.part)
    return OutputsComparison(*engines, dataset, question, Told(), batch=64, seed=1).run()


def leaning(strength: float) -> np.ndarray:
    """Weights that make the first entry too large, so that the first class is answered too often."""
    return np.eye(3) + np.diag([strength, 0.0, 0.0])


def test_a_candidate_that_is_clearly_good_is_judged_on_a_part_of_the_examples(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(0.01), Question(LIMIT))

    assert found.examples_of_part > 4000
    assert found.examples == round(found.examples_of_part / 4)
    assert found.levels[0].constraints[0].status is Holds.HOLDS
    assert any(f"clear after {found.examples:,} of {found.examples_of_part:,}" in note for note in found.notes)


def test_the_portion_has_each_classs_share_of_a_sorted_file(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(0.01), Question(LIMIT))

    counts = [one.examples for one in found.scorer.classes(0.95)]
    assert counts == pytest.approx([found.examples / 3] * 3, rel=0.08)


def test_one_that_clearly_breaks_the_limit_ends_early_too(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(3.0), Question(LIMIT))

    assert found.examples < found.examples_of_part
    assert found.levels[0].constraints[0].status is Holds.VIOLATED


def test_the_interval_pays_for_having_looked(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(0.01), Question(LIMIT))

    primary, quantile = found.metrics[0], critical_values(0.025, (0.25, 0.5, 1.0))[0]
    wide = share_difference(primary.lost or 0, primary.won or 0, found.examples, confidence_of(quantile))
    assert (primary.drop.low, primary.drop.high) == pytest.approx((wide.low * 100, wide.high * 100))


def test_a_limit_that_stays_open_has_all_examples_used(tmp_path: Path, data: Path) -> None:
    unlimited = Criteria(constraints=Constraints(max_metric_drop_points=None))
    drop = compared(tmp_path, data, leaning(0.3), Question(unlimited))
    limit = Criteria(constraints=Constraints(max_metric_drop_points=drop.metrics[0].drop.value))
    found = compared(tmp_path, data, leaning(0.3), Question(limit))

    assert found.examples == found.examples_of_part == drop.examples
    assert found.levels[0].constraints[0].status is Holds.INCONCLUSIVE


def test_finalists_share_the_chance_of_error_and_every_step_of_holms_is_kept(tmp_path: Path, data: Path) -> None:
    limit = Criteria(constraints=Constraints(max_metric_drop_points=50.0))
    found = compared(tmp_path, data, leaning(0.3), Question(limit, Part.EVALUATION, 3))

    assert [level.sharing for level in found.levels] == [3, 2, 1]
    assert [level.confidence for level in found.levels] == pytest.approx(
        [shared_confidence(0.95, 3), shared_confidence(0.95, 2), 0.95]
    )
    widths = [level.drop.high - level.drop.low for level in found.levels]  # type: ignore[operator]
    assert widths == sorted(widths, reverse=True)
    assert found.levels[0].drop == found.metrics[0].drop


def test_the_validation_part_is_used_at_once_at_the_members_confidence(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(0.01), Question(LIMIT, Part.CHOOSING))

    assert found.examples == found.examples_of_part
    assert found.levels == ()


HALVED = Question(LIMIT, Part.CHOOSING, in_portions=True)


def test_a_ranked_candidate_that_clearly_breaks_the_limit_is_dropped_after_a_portion(
    tmp_path: Path, data: Path
) -> None:
    found = compared(tmp_path, data, leaning(3.0), HALVED)

    assert found.looks == (found.examples,) == (round(found.examples_of_part / 4),)
    drop = found.metrics[0].drop
    assert drop.low is not None
    assert drop.low > 5.0
    wide, quantile = found.metrics[0], critical_values(0.025, (0.25, 0.5, 1.0))[0]
    interval = share_difference(wide.lost or 0, wide.won or 0, found.examples, confidence_of(quantile))
    assert drop.low == pytest.approx(interval.low * 100)


def test_a_ranked_candidate_that_may_hold_is_promoted_to_all_examples_however_good_it_is(
    tmp_path: Path, data: Path
) -> None:
    found = compared(tmp_path, data, leaning(0.01), HALVED)

    assert found.examples == found.examples_of_part
    assert len(found.looks) == 3
    assert found.outcomes is not None
    assert found.outcomes.order == "in portions"


def means_data(tmp_path: Path, metric: str) -> tuple[Path, DatasetSpec]:
    """9,000 examples whose labels the original misses by some noise."""
    random = np.random.default_rng(6)
    x = random.normal(size=(9000, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=x + random.normal(scale=0.2, size=x.shape).astype(np.float32))
    task = {"mae": "regression", "cosine": "embedding"}[metric]
    return tmp_path / "d.npz", DatasetSpec(kind="npz", task=task, metric=metric)


@pytest.mark.parametrize("metric", ["mae", "cosine"])
def test_a_mean_over_examples_rules_a_ranked_candidate_out_and_shows_the_interval_that_did(
    tmp_path: Path, metric: str
) -> None:
    data, spec = means_data(tmp_path, metric)
    limited = for_task(Criteria(constraints=Constraints(max_metric_drop_points=2.0, default_rise=0.02)), spec)
    found = compared(tmp_path, data, leaning(3.0), Question(limited, Part.CHOOSING, in_portions=True), spec)

    assert found.looks == (found.examples,) == (round(found.examples_of_part / 4),)
    primary, confidence = found.metrics[0], confidence_of(critical_values(0.025, (0.25, 0.5, 1.0))[0])
    assert (primary.metric, primary.test) == (metric, "paired_t")
    verdicts = judge_metric(limited.constraints, MetricMeasured(primary, found.examples, confidence))
    assert {one.status for one in verdicts} == {Holds.VIOLATED}
    assert found.outcomes is not None
    assert primary.drop.value == pytest.approx(unpacked(found.outcomes).mean(), rel=1e-3)


@pytest.mark.parametrize("metric", ["mae", "cosine"])
def test_a_mean_that_may_hold_is_measured_on_all_examples_by_the_bootstrap(tmp_path: Path, metric: str) -> None:
    data, spec = means_data(tmp_path, metric)
    limited = for_task(Criteria(constraints=Constraints(max_metric_drop_points=2.0, default_rise=0.02)), spec)
    found = compared(tmp_path, data, leaning(0.001), Question(limited, Part.CHOOSING, in_portions=True), spec)

    assert (len(found.looks), found.examples) == (3, found.examples_of_part)
    assert found.metrics[0].test == "paired_bootstrap"


def test_a_finalist_is_judged_by_the_bootstrap_on_all_examples_however_clear_a_mean_is(tmp_path: Path) -> None:
    data, spec = means_data(tmp_path, "mae")
    limited = for_task(Criteria(constraints=Constraints(max_metric_drop_points=2.0, default_rise=0.02)), spec)
    found = compared(tmp_path, data, leaning(3.0), Question(limited), spec)

    assert (found.looks, found.examples) == ((), found.examples_of_part)
    assert found.metrics[0].test == "paired_bootstrap"


def test_portions_are_not_used_where_groups_are_limited(tmp_path: Path, data: Path) -> None:
    every = Criteria(constraints=Constraints(max_metric_drop_points=5.0, max_group_drop_points=5.0))
    found = compared(tmp_path, data, leaning(3.0), Question(every, Part.CHOOSING, in_portions=True))

    assert (found.looks, found.examples) == ((), found.examples_of_part)


def test_what_each_example_adds_is_kept_and_its_mean_is_the_drop(tmp_path: Path, data: Path) -> None:
    found = compared(tmp_path, data, leaning(0.3), Question(LIMIT, Part.CHOOSING))

    assert found.outcomes is not None
    primary = found.metrics[0]
    assert (len(found.outcomes.lost), len(found.outcomes.won)) == (primary.lost, primary.won)
    assert unpacked(found.outcomes).mean() == pytest.approx(primary.drop.value)


@pytest.mark.parametrize(("metric", "kept"), [("mae", True), ("rmse", False), ("r2", False)])
def test_only_a_mean_over_examples_can_be_kept_by_example(tmp_path: Path, metric: str, kept: bool) -> None:
    random = np.random.default_rng(6)
    x = random.normal(size=(400, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=x)
    spec = DatasetSpec(kind="npz", task="regression", metric=metric)
    found = compared(tmp_path, tmp_path / "d.npz", leaning(0.3), Question(LIMIT), spec)

    assert (found.outcomes is not None) == kept
    if found.outcomes is not None:
        assert unpacked(found.outcomes).mean() == pytest.approx(found.metrics[0].drop.value, rel=1e-3)
