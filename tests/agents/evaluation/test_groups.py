"""What the whole hides: groups, classes and churn, each corrected for how many are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric, Task, metric_by_group
from apps.agents.contracts.errors.datasets import GroupsInvalid, GroupsMissing
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import ClassComparison, FindingKind, Flips, GroupComparison
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.datasets.loading import load_dataset, open_source
from apps.agents.evaluation.decidability import Decides, decidability
from apps.agents.evaluation.findings import CHURN_TOLERATED, MOST_OF_A_KIND, findings
from apps.agents.evaluation.groups import compare_groups
from apps.agents.evaluation.metrics import scorer_for
from apps.agents.files.dataset_headers import summarize_arrays
from apps.agents.files.npz_headers import array_headers
from apps.agents.measuring.statistics.intervals import holm, share_difference
from tests.agents.evaluation.test_verdicts import NO_LIMITS, drop, measured, only
from tests.optimization import material

CLASSIFY = DatasetSpec(kind="npz", task="classification")
SCORES = {0: [1.0, 0.0], 1: [0.0, 1.0]}


def answers(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([SCORES[int(one)] for one in classes])


def classified(original: NDArray[np.int64], candidate: NDArray[np.int64], labels: NDArray[np.int64]) -> Any:
    scorer = scorer_for(CLASSIFY, (len(labels), 2), ("cat", "dog"))
    scorer.add(answers(original), answers(candidate), labels)
    return scorer


# --- statistics -------------------------------------------------------------------------------------------------------


def test_holm_is_as_it_is_published() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_a_group_that_loses_is_told_from_those_that_do_not() -> None:
    labels = np.zeros(400, np.int64)
    names = np.repeat(["day", "night"], 200)
    candidate = labels.copy()
    candidate[200:220] = 1
    night, day = compare_groups(names, classified(labels, candidate, labels), Metric.TOP1, 0.95, seed=0)
    assert (night.group, night.examples, night.drop.value) == ("night", 200, 10.0)
    assert (day.drop.value, day.p_corrected) == (0.0, 1.0)
    assert night.p_corrected == pytest.approx(2 * night.p_value)
    assert night.p_corrected < 0.001
    wider = share_difference(20, 0, 200, 0.975)
    assert night.simultaneous == Estimate(value=10.0, low=(wider.low or 0) * 100, high=(wider.high or 0) * 100)


def test_groups_of_numbers_are_compared_by_their_means() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(300, 1))
    names = np.repeat(["a", "b", "c"], 100)
    worse = np.where(names == "b", 0.5, 0.0)[:, np.newaxis] * random.normal(size=(300, 1))
    scorer = scorer_for(DatasetSpec(kind="npz", task="regression"), (300, 1), ())
    scorer.add(truth + 0.1, truth + 0.1 + worse, truth)
    found = compare_groups(names, scorer, Metric.MAE, 0.95, seed=0)
    assert found[0].group == "b"
    assert found[0].p_corrected < 0.001
    assert found[0].simultaneous.low < found[0].drop.low < found[0].drop.value  # type: ignore[operator]
    assert all((one.drop.value, one.p_value) == (0.0, 1.0) for one in found[1:])


def test_simultaneous_intervals_cover_all_groups_at_once() -> None:
    """Of six groups that lose exactly 5 points, all six intervals hold the truth in 95 % of samples or more."""
    random, groups, size, samples = np.random.default_rng(3), 6, 150, 400
    names = np.repeat([f"g{number}" for number in range(groups)], size)
    labels = np.zeros(groups * size, np.int64)
    covered = 0
    for _ in range(samples):
        kind = random.choice(3, p=[0.07, 0.02, 0.91], size=len(labels))
        original, candidate = (kind == 1).astype(np.int64), (kind == 0).astype(np.int64)
        found = compare_groups(names, classified(original, candidate, labels), Metric.TOP1, 0.95, seed=0)
        covered += all(one.simultaneous.low <= 5 <= one.simultaneous.high for one in found)  # type: ignore[operator]
    assert covered / samples >= 0.95 - 3 * (0.05 * 0.95 / samples) ** 0.5


def test_outputs_equal_to_the_last_bit_lose_exactly_nothing_in_any_group() -> None:
    labels = np.array([0, 1] * 10)
    names = np.repeat(["a", "b"], 10)
    found = compare_groups(names, classified(labels, labels, labels), Metric.TOP1, 0.95, 0, identical=True)
    assert all(one.simultaneous == Estimate(value=0.0, low=0.0, high=0.0) for one in found)


def test_metrics_that_are_no_mean_over_examples_have_no_groups() -> None:
    assert metric_by_group(Task.REGRESSION, Metric.RMSE) is None
    assert metric_by_group(Task.REGRESSION, Metric.R2) is None
    assert metric_by_group(Task.FIDELITY, Metric.R2) is Metric.R2
    assert metric_by_group(Task.CLASSIFICATION, Metric.MACRO_F1) is Metric.TOP1
    labels = np.array([0, 1] * 10)
    assert compare_groups(None, classified(labels, labels, labels), Metric.TOP1, 0.95, 0) == ()
    assert compare_groups(labels.astype(str), classified(labels, labels, labels), None, 0.95, 0) == ()


# --- the limit --------------------------------------------------------------------------------------------------------


def group(name: str, value: float, low: float, high: float, examples: int = 100) -> GroupComparison:
    interval = Estimate(value=value, low=low, high=high)
    return GroupComparison(
        group=name, examples=examples, drop=interval, simultaneous=interval, p_value=0.5, p_corrected=1.0
    )


@pytest.mark.parametrize(
    ("night", "status"),
    [((1.0, 0.0, 1.9), Holds.HOLDS), ((1.0, 0.0, 2.5), Holds.INCONCLUSIVE), ((6.0, 2.1, 9.0), Holds.VIOLATED)],
)
def test_the_worst_group_decides(night: tuple[float, float, float], status: Holds) -> None:
    groups = (group("day", 0.1, -0.5, 0.7), group("night", *night))
    limits = NO_LIMITS.model_copy(update={"max_group_drop_points": 2.0})
    verdict = only(limits, measured(groups=groups, group_metric=Metric.TOP1))
    assert (verdict.constraint, verdict.status) == ("max_group_drop_points", status)
    assert "night" in verdict.sentence
    assert verdict.margin == pytest.approx(2.0 - night[0])
    assert (verdict.to_decide is not None) == (status is Holds.INCONCLUSIVE)


def test_one_group_beyond_the_limit_is_named_though_another_is_less_certain() -> None:
    groups = (group("broken", 6.0, 3.0, 9.0), group("rare", 1.0, -30.0, 40.0, examples=4))
    limits = NO_LIMITS.model_copy(update={"max_group_drop_points": 2.0})
    verdict = only(limits, measured(groups=groups, group_metric=Metric.TOP1))
    assert verdict.status is Holds.VIOLATED
    assert verdict.sentence == (
        "Of 2 groups, broken does worst: its top-1 accuracy fell by 6 points (95 % interval for all groups −9 to −3) "
        "on 100 examples, beyond the limit of 2 points."
    )


def test_a_group_of_one_example_asks_for_examples_of_it() -> None:
    limits = NO_LIMITS.model_copy(update={"max_group_drop_points": 2.0})
    verdict = only(limits, measured(groups=(group("rare", 0.0, -1e9, 1e9, examples=1),), group_metric=Metric.MAE))
    assert verdict.status is Holds.INCONCLUSIVE
    assert "add more examples of it" in str(verdict.to_decide)


def test_what_a_group_cannot_show_is_inconclusive_and_says_why() -> None:
    limits = NO_LIMITS.model_copy(update={"max_group_drop_points": 2.0})
    verdict = only(limits, measured())
    assert verdict.status is Holds.INCONCLUSIVE
    assert "not a mean over the examples" in verdict.sentence


# --- findings ---------------------------------------------------------------------------------------------------------


def report(**changes: Any) -> EvaluationReport:
    usual = {"metrics": (drop(1.2, 0.5, 1.9),), "groups": (), "classes": (), "flips": None}
    return material.evaluation().model_copy(update={**usual, **changes})


def test_a_group_beyond_chance_is_a_finding_and_one_within_it_is_not() -> None:
    night = group("night", 12.5, 7.1, 18.2, 210).model_copy(update={"p_corrected": 0.0004})
    dusk = group("dusk", 3.0, -1.0, 7.0, 210).model_copy(update={"p_corrected": 0.2})
    (found,) = findings(report(groups=(night, dusk), group_metric="top1"))
    assert (found.kind, found.subject, found.p_value) == (FindingKind.GROUP, "night", 0.0004)
    assert found.sentence == (
        "The group night loses 12.5 points of top-1 accuracy (95 % interval −18.2 to −7.1) on 210 examples "
        "(p = 0.0004, corrected for 2 groups). All examples together lose 1.2 points."
    )


def test_a_group_that_gains_is_no_finding() -> None:
    gained = group("night", -12.5, -18.2, -7.1).model_copy(update={"p_corrected": 0.0004})
    assert findings(report(groups=(gained,), group_metric="top1")) == ()


def test_a_class_that_collapses_is_found_by_the_scorer_and_told() -> None:
    labels = np.array([0, 1] * 50)
    candidate = labels.copy()
    candidate[labels == 1] = np.where(np.arange(50) < 40, 0, 1)
    classes = classified(labels, candidate, labels).classes(0.95)
    (found,) = findings(report(classes=classes))
    assert (found.kind, found.subject) == (FindingKind.CLASS, "dog")
    assert "The class dog collapses: its recall falls from 100 to 20 % on 50 examples" in found.sentence
    assert "corrected for 2 classes" in found.sentence


def test_classes_that_are_the_groups_are_told_once() -> None:
    classes = (ClassComparison(label="dog", examples=50, original_recall=90, candidate_recall=10, p_corrected=0.001),)
    dog = group("dog", 80.0, 70.0, 90.0, 50).model_copy(update={"p_corrected": 0.001})
    (found,) = findings(report(classes=classes, groups=(dog,), group_metric="top1"))
    assert found.kind is FindingKind.GROUP


def test_one_flip_among_many_classes_is_chance() -> None:
    labels = np.array([0, 1] * 50)
    candidate = labels.copy()
    candidate[1] = 0
    assert findings(report(classes=classified(labels, candidate, labels).classes(0.95))) == ()


def test_chance_alone_makes_a_finding_in_one_of_twenty_sessions_at_most() -> None:
    """As many wins as losses in ten classes: of 300 sessions at most 5 %, and what chance allows, name a class."""
    random = np.random.default_rng(5)
    labels = np.repeat(np.arange(10), 60)
    told = 0
    for _ in range(300):
        kind = random.choice(3, p=[0.1, 0.1, 0.8], size=len(labels))
        scorer = scorer_for(CLASSIFY, (len(labels), 11), ())
        original, candidate = np.where(kind == 1, 10, labels), np.where(kind == 0, 10, labels)
        scorer.add(np.eye(11)[original], np.eye(11)[candidate], labels)
        told += bool(findings(report(classes=scorer.classes(0.95))))
    assert told / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_of_many_classes_the_surest_are_shown_and_the_others_counted() -> None:
    classes = tuple(
        ClassComparison(
            label=f"c{number}", examples=50, original_recall=90, candidate_recall=10, p_corrected=0.001 * number
        )
        for number in range(25)
    )
    found = findings(report(classes=classes))
    assert [one.subject for one in found] == [f"c{number}" for number in range(MOST_OF_A_KIND)]
    assert found[-1].sentence.endswith("15 more classes lose beyond chance.")


@pytest.mark.parametrize(("changed", "found"), [(30, False), (51, False), (90, True)])
def test_many_flips_behind_an_equal_accuracy_are_a_finding(changed: int, found: bool) -> None:
    flips = Flips(
        both_right=800, both_wrong=200 - changed, lost=changed // 2, won=changed - changed // 2, changed=changed
    )
    told = findings(report(flips=flips))
    assert bool(told) is found, f"{changed} of 1,000, and {CHURN_TOLERATED:.0%} are tolerated"
    if found:
        assert (
            "9 % of the predictions changed (90 of 1,000), but the accuracy moved by only 0 points" in told[0].sentence
        )


def test_flips_that_a_drop_explains_are_no_finding() -> None:
    assert findings(report(flips=Flips(both_right=700, both_wrong=200, lost=100, won=0, changed=100))) == ()


# --- where groups stand -----------------------------------------------------------------------------------------------


def stored(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2
WANTED = [TensorSpec(name="x", dtype="float32", shape=("N", 3))]


def test_an_array_of_groups_is_read_beside_the_inputs(tmp_path: Path) -> None:
    path = stored(tmp_path, x=X, y=Y, site=np.where(np.arange(40) < 10, "south", "north"))
    spec = DatasetSpec(kind="npz", task="classification", group="site")
    dataset = load_dataset(path, spec, WANTED, seed=1)
    assert dataset.summary.groups == {"north": 30, "south": 10}
    assert [one.name for one in dataset.summary.inputs] == ["x"]
    names = dataset.groups_of(dataset.evaluation_indices)
    assert names is not None
    assert list(names) == ["south" if index < 10 else "north" for index in dataset.evaluation_indices]
    assert next(dataset.evaluation(4))[0].keys() == {"x"}


def test_a_column_of_groups_may_be_a_feature_as_well(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,site,y\n" + "".join(f"{row},{row / 2},{row % 3},{row % 2}\n" for row in range(30)))
    apart = DatasetSpec(kind="table", task="classification", group="site")
    assert [one.name for one in open_source(path, apart).summary.inputs] == ["a", "b"]
    both = apart.model_copy(update={"columns": {"x": ("a", "b", "site")}})
    source = open_source(path, both)
    assert source.summary.inputs[0].shape == ("N", 3)
    assert source.summary.groups == {"0": 10, "1": 10, "2": 10}
    assert source.rows(np.array([4]))["x"].tolist() == [[4, 2, 1]]


def test_a_first_column_that_counts_the_rows_stays_when_it_says_the_groups(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("run,a,y\n" + "".join(f"{row},{row / 2},{row % 2}\n" for row in range(30)))
    spec = DatasetSpec(kind="table", task="classification", group="run")
    assert len(open_source(path, spec).summary.groups) == 30


def test_the_labels_make_each_class_a_group_by_its_name(tmp_path: Path) -> None:
    spec = DatasetSpec(kind="npz", task="classification", group="y", classes=("cat", "dog"))
    assert load_dataset(stored(tmp_path, x=X, y=Y), spec, WANTED, seed=1).summary.groups == {"cat": 20, "dog": 20}


def test_numbers_bytes_and_nothing_become_names(tmp_path: Path) -> None:
    spec = DatasetSpec(kind="npz", task="classification", group="g")
    values = np.array([1.0, 2.5, np.nan, 1.0] * 10)
    assert open_source(stored(tmp_path, x=X, y=Y, g=values), spec).summary.groups == {"1": 20, "(none)": 10, "2.5": 10}
    values = np.array([b"a", b" b ", b"", b"a"] * 10)
    assert open_source(stored(tmp_path, x=X, y=Y, g=values), spec).summary.groups == {"a": 20, "(none)": 10, "b": 10}


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (np.zeros(40), "all examples belong to '0'"),
        (np.arange(120)[:40].repeat(1), None),
        (np.zeros((40, 2)), "2 numbers per example"),
        (np.zeros(39), "the shape [39], but there are 40 examples"),
    ],
)
def test_what_cannot_say_the_group_is_refused_with_its_field(tmp_path: Path, groups: Any, reason: str | None) -> None:
    spec = DatasetSpec(kind="npz", task="classification", group="g")
    path = stored(tmp_path, x=X, y=Y, g=groups)
    if reason is None:
        assert len(open_source(path, spec).summary.groups) == 40
        return
    with pytest.raises(GroupsInvalid) as error:
        open_source(path, spec)
    assert (error.value.field, reason in str(error.value)) == ("group", True)


def test_too_many_groups_are_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, x=np.zeros((150, 3), np.float32), y=np.arange(150) % 2, g=np.arange(150))
    with pytest.raises(GroupsInvalid, match="150 different values"):
        open_source(path, DatasetSpec(kind="npz", task="classification", group="g"))


def test_groups_that_are_not_there_are_missed_by_the_headers_alone(tmp_path: Path) -> None:
    path = stored(tmp_path, x=X, y=Y)
    spec = DatasetSpec(kind="npz", task="classification", group="site")
    with pytest.raises(GroupsMissing, match="has only x, y"):
        summarize_arrays(array_headers(path), spec, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "images"},
        {"kind": "text"},
        {"task": "regression", "group": "y"},
        {"inputs": {"h": {"array": "site"}}},
        {"group": ""},
    ],
)
def test_a_group_where_none_can_stand_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"group|String should have"):
        DatasetSpec.model_validate({"kind": "npz", "task": "classification", "group": "site", **changes})


# --- before a session -------------------------------------------------------------------------------------------------


def test_the_smallest_group_is_warned_of() -> None:
    limits = Constraints(max_metric_drop_points=5.0, max_group_drop_points=5.0)
    found = decidability(CLASSIFY, 5000, Criteria(constraints=limits), (), {"north": 4900, "south": 100}).smallest_group
    assert found is not None
    assert (found.group, found.examples, found.groups, found.decides) == ("south", 71, 2, Decides.NO)
    assert "Whether it loses more than 5 points stays inconclusive" in found.sentence
    without = Criteria(constraints=Constraints(max_metric_drop_points=5.0))
    assert decidability(CLASSIFY, 5000, without, (), {"north": 4900, "south": 100}).smallest_group is None
