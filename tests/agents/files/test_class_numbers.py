"""Labels as files hold them: names, one-hot rows, signs, booleans, numbers from 1; what is unclear is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import ClassesMismatch, LabelsInvalid
from apps.agents.contracts.reports.dataset import DatasetSummary, LabelNumbers, Task
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.inspection import inspect_examples
from apps.agents.datasets.labels import class_labels
from apps.agents.datasets.loading import ArrayDataset, load_dataset
from apps.agents.files.class_numbers import FROM_ONE, SIGNS, UNCHANGED, numbering
from apps.errors import UserError

X = TensorSpec(name="x", dtype="float32", shape=("n", 3))
TRUTH = np.arange(60) % 3
NAMES = np.array(["bee", "ant", "cat"])


def scores(*columns: int, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="scores", dtype=dtype, shape=("n", *columns))


def spec(**more: Any) -> DatasetSpec:
    return DatasetSpec(kind="npz", task="classification", **more)


def saved(folder: Path, labels: np.ndarray) -> Path:
    np.savez(folder / "d.npz", anything=np.random.default_rng(0).normal(size=(len(labels), 3)), y=labels)
    return folder / "d.npz"


def loaded(folder: Path, labels: np.ndarray, output: TensorSpec, how: DatasetSpec | None = None) -> ArrayDataset:
    """As a session does it: looked through, held against the model, loaded."""
    how, path = how or spec(), saved(folder, labels)
    inspected = inspect_examples(path, how).summary
    model = ModelSummary(
        format="onnx",
        producer="",
        opset=21,
        inputs=(X,),
        outputs=(output,),
        parameters=1,
        size_bytes=1,
        operators={},
    )
    check_against(model, inspected, how)
    dataset = load_dataset(path, how, [X], seed=1, outputs=[output])
    assert isinstance(dataset, ArrayDataset)
    check_against(model, dataset.summary, how)
    return dataset


@pytest.mark.parametrize(
    ("labels", "output", "classes", "note"),
    [
        (TRUTH, scores(3), (), ""),
        (TRUTH.astype(np.float32), scores(3), (), ""),
        (TRUTH.astype(np.uint8)[:, np.newaxis], scores(3), (), ""),
        (np.eye(3)[TRUTH], scores(3), ("0", "1", "2"), ""),
        (np.eye(3, dtype=bool)[TRUTH], scores(3), ("0", "1", "2"), ""),
        (TRUTH + 1, scores(3), ("1", "2", "3"), "The labels 1 to 3 are used as classes 0 to 2."),
        (TRUTH + 1.0, scores(3, 1, 1), ("1", "2", "3"), "The labels 1 to 3 are used as classes 0 to 2."),
        (TRUTH.astype(str), scores(3), (), ""),
        ((TRUTH + 1).astype("S1"), scores(3), ("1", "2", "3"), "The labels 1 to 3 are used as classes 0 to 2."),
        (np.array(["ant", "bee ", "cat"])[TRUTH], scores(3), ("ant", "bee", "cat"), ""),
    ],
)
def test_labels_are_read_as_what_they_are(
    tmp_path: Path, labels: np.ndarray, output: TensorSpec, classes: tuple[str, ...], note: str
) -> None:
    dataset = loaded(tmp_path, labels, output)
    assert dataset.evaluation_labels is not None
    assert np.array_equal(dataset.evaluation_labels, TRUTH[dataset.evaluation_indices])
    assert dataset.summary.classes == classes
    assert dataset.notes == ((note,) if note else ())


@pytest.mark.parametrize("output", [scores(2), scores(1), scores()])
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (TRUTH % 2 * 2 - 1, ("-1", "1")),
        ((TRUTH % 2 * 2 - 1).astype(np.float64), ("-1", "1")),
        (TRUTH % 2 == 1, ("False", "True")),
        (TRUTH % 2 + 1, ("1", "2")),
        (np.array(["no", "yes"])[TRUTH % 2], ("no", "yes")),
    ],
)
def test_two_classes_have_many_names(
    tmp_path: Path, labels: np.ndarray, classes: tuple[str, ...], output: TensorSpec
) -> None:
    dataset = loaded(tmp_path, labels, output)
    assert dataset.evaluation_labels is not None
    assert np.array_equal(dataset.evaluation_labels, (TRUTH % 2)[dataset.evaluation_indices])
    assert dataset.summary.classes == classes


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (NAMES[TRUTH], ("bee", "ant", "cat")),
        (np.array([7, 3, 9])[TRUTH], ("7", "3", "9")),
        (np.array(["7", "3", "9"])[TRUTH], ("7", "3", "9")),
        (TRUTH + 1, ("bee", "ant", "cat")),
        (np.eye(3)[TRUTH], ("bee", "ant", "cat")),
        (np.array([-1, 0, 1])[TRUTH], ("-1", "0", "1")),
    ],
)
def test_named_classes_give_the_order(tmp_path: Path, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    dataset = loaded(tmp_path, labels, scores(3), spec(classes=classes))
    assert np.array_equal(dataset.evaluation_labels, TRUTH[dataset.evaluation_indices])  # type: ignore[arg-type]
    assert dataset.summary.classes == classes


def test_numbers_from_one_stay_where_the_model_has_more_classes(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, TRUTH + 1, scores(10))
    assert np.array_equal(dataset.evaluation_labels, (TRUTH + 1)[dataset.evaluation_indices])  # type: ignore[arg-type]
    assert dataset.notes == ()


def test_where_all_labels_are_1_nothing_is_said_of_where_they_begin(tmp_path: Path) -> None:
    """They say no more than that all examples are of one class, and that is told already."""
    (note,) = inspect_examples(saved(tmp_path, np.ones(60, np.int64)), spec()).notes
    assert note.startswith("All examples belong to one class")


def test_a_model_that_answers_with_its_own_labels_keeps_them(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, TRUTH % 2 * 2 - 1, scores(dtype="int64"))
    assert set(dataset.evaluation_labels.tolist()) == {-1, 1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "output", "how", "error", "says"),
    [
        (np.where(np.arange(60) == 7, 0.5, 1.0), scores(2), spec(), LabelsInvalid, ["example 7 contains 0.5"]),
        (np.full((60, 2), 0.5), scores(2), spec(), LabelsInvalid, ["example 0", "neither one-hot"]),
        (np.ones((60, 2), int), scores(2), spec(), LabelsInvalid, ["example 0", "neither one-hot"]),
        (np.where(np.arange(60) == 4, "", NAMES[TRUTH]), scores(3), spec(), LabelsInvalid, ["example 4 is empty"]),
        (np.where(np.arange(60) == 4, "NaN", NAMES[TRUTH]), scores(3), spec(), LabelsInvalid, ["example 4", "NaN"]),
        (
            np.arange(60).astype(str).astype("<U9") + np.array("x"),
            scores(60),
            spec(),
            LabelsInvalid,
            ["different label"],
        ),
        (NAMES[TRUTH], scores(3), spec(classes=("ant", "bee")), ClassesMismatch, ["example 2 has 'cat'", "ant, bee"]),
        (NAMES[TRUTH], scores(4), spec(), ClassesMismatch, ["3 names of classes", "has 4"]),
        (NAMES[TRUTH], scores(2), spec(), ClassesMismatch, ["3 classes", "has 2"]),
        (np.eye(3)[TRUTH], scores(3), spec(classes=("ant", "bee")), ClassesMismatch, ["3 columns, but 2 classes"]),
        (TRUTH - 1, scores(3), spec(), LabelsInvalid, ["smallest is -1"]),
        (TRUTH % 2 * 2 - 1, scores(3), spec(), LabelsInvalid, ["-1 and 1", "3 classes"]),
        (TRUTH + 2, scores(3), spec(), LabelsInvalid, ["largest is 4", "0 to 2, or 1 to 3"]),
    ],
)
def test_what_is_not_clear_is_refused_with_its_place(
    tmp_path: Path, labels: np.ndarray, output: TensorSpec, how: DatasetSpec, error: type[UserError], says: list[str]
) -> None:
    with pytest.raises(error) as caught:
        loaded(tmp_path, labels, output, how)
    for part in says:
        assert part in caught.value.message


def test_the_page_says_how_labels_were_read(tmp_path: Path) -> None:
    found = inspect_examples(saved(tmp_path, NAMES[TRUTH]), spec())
    assert found.class_counts == {"ant": 20, "bee": 20, "cat": 20}
    assert "alphabetical order (ant, bee, cat) they are classes 0 to 2" in found.notes[0]
    assert "for a model with 3 classes" in inspect_examples(saved(tmp_path, TRUTH + 1), spec()).notes[0]
    signs = inspect_examples(saved(tmp_path, TRUTH % 2 * 2 - 1), spec())
    assert (signs.class_counts, signs.notes) == (
        {"-1": 40, "1": 20},
        ("The labels are -1 and 1. They are used as classes 0 and 1.",),
    )


@given(st.lists(st.integers(-5, 60), min_size=1, max_size=40), st.integers(2, 50))
def test_every_label_becomes_a_class_of_the_model_or_is_refused(labels: list[int], count: int) -> None:
    read = class_labels(np.array(labels), spec())
    summary = DatasetSummary(kind="npz", task=Task.CLASSIFICATION, examples=20, inputs=(X,), label_numbers=read.numbers)
    try:
        how = numbering(summary, scores(count))
    except LabelsInvalid:
        return
    numbers = (read.labels - how.first) // how.step
    assert 0 <= numbers.min() <= numbers.max() < count
    assert [how.label(int(number)) for number in numbers] == labels


@pytest.mark.parametrize(
    ("low", "high", "distinct", "count", "how"),
    [(0, 9, 10, 10, UNCHANGED), (1, 10, 10, 10, FROM_ONE), (1, 9, 9, 10, UNCHANGED), (-1, 1, 2, 2, SIGNS)],
)
def test_numbers_are_counted_from_where_they_must_begin(
    low: int, high: int, distinct: int, count: int, how: object
) -> None:
    numbers = LabelNumbers(low=low, high=high, distinct=distinct)
    summary = DatasetSummary(kind="npz", task=Task.CLASSIFICATION, examples=20, inputs=(X,), label_numbers=numbers)
    assert numbering(summary, scores(count)) == how
