"""What is kept of both models' answers: which changed, which way, and how all are spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.criteria import Constraints, Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.answers import AnswerKind, Answers, Scores, Turn
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.datasets.loading import load_dataset
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.evaluation.answers.confusion import MOST_CLASSES, confusion_of
from apps.agents.evaluation.answers.meter import MOST_SHOWN
from apps.agents.evaluation.quality import OutputsComparison, Question
from apps.agents.files.answers_file import read_answers, read_picture, read_ran
from apps.agents.handlers.answers import answers_of, ran_by
from apps.agents.measuring.engine import open_engine
from tests.agents.evaluation.test_evaluation import SAMPLES, product
from tests.agents.told import Told

EXAMPLES = 400
OPEN = Criteria(constraints=Constraints(max_metric_drop_points=None))
LEANING = np.diag([2.0, 1.0, 1.0])
"""Doubles the first entry, so that the first class is answered where it is wrong, or not where it is right."""


def vectors() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(EXAMPLES, 3)).astype(np.float32)


def watched(
    tmp_path: Path, spec: dict[str, Any], weights: np.ndarray, criteria: Criteria = OPEN, **arrays: np.ndarray
) -> Answers:
    """The answers of the identity and of `weights` to the test examples, as they are stored."""
    np.savez(tmp_path / "d.npz", **arrays)
    paths = [product(tmp_path / f"{name}.onnx", matrix) for name, matrix in (("a", np.eye(3)), ("b", weights))]
    engines = [open_engine("onnx", path, tmp_path) for path in paths]
    reading = DatasetSpec(kind="npz", **spec)
    dataset = load_dataset(tmp_path / "d.npz", reading, engines[0].summary.inputs, seed=1, scratch=tmp_path / "s")
    watch, question = AnswerWatch(), Question(criteria, Part.EVALUATION)
    settings: dict[str, Any] = {"batch": 64, "seed": 1}
    OutputsComparison(*engines, dataset, question, Told(), **settings, watch=watch).run()
    answers_of(watch, dataset, tmp_path)
    return read_answers(tmp_path / "answers.zip")


def test_flipped_classes_are_told_with_scores_and_their_place_in_the_file(tmp_path: Path) -> None:
    x = vectors()
    y = x.argmax(1)
    groups = np.where(x[:, 1] > 0, "up", "down")
    spec = {"task": "classification", "classes": ("a", "b", "c"), "group": "g"}
    found = watched(tmp_path, spec, LEANING, x=x, y=y, g=groups)

    assert (found.kind, found.scores) == (AnswerKind.CLASSES, Scores.SOFTMAX)
    assert found.worse > 0
    assert (found.better, found.other) == (0, 0), "the original is always right"
    assert len(found.shown) == min(found.worse, MOST_SHOWN[Turn.WORSE])
    names = ("a", "b", "c")
    for one in found.shown:
        row = x[one.example]
        assert one.truth == one.original.label == names[row.argmax()]
        assert one.candidate.label == names[(row @ LEANING).argmax()]
        assert one.original.score == pytest.approx(np.exp(row.max()) / np.exp(row).sum(), rel=1e-3)
        assert one.group == groups[one.example]
        assert dict(one.excerpt.values)["x"] == ", ".join(f"{value:.6g}" for value in row.tolist())
    scores = [one.original.score or 0.0 for one in found.shown]
    assert scores == sorted(scores, reverse=True)


def test_confusion_and_distribution_count_every_test_example(tmp_path: Path) -> None:
    x = vectors()
    found = watched(tmp_path, {"task": "classification"}, LEANING, x=x, y=x.argmax(1))

    assert found.confusion is not None
    original, candidate = np.asarray(found.confusion.original), np.asarray(found.confusion.candidate)
    assert original.sum() == candidate.sum() == found.examples
    assert (original == np.diag(np.diag(original))).all()
    assert candidate.sum() - np.trace(candidate) == found.worse
    assert sum(one.candidate for one in found.confusion.mixups) == found.worse
    (spread,) = found.histograms
    assert sum(spread.original) == sum(spread.candidate) == found.examples
    assert (spread.edges[0], spread.edges[-1]) == (0.0, 1.0)


def test_answers_that_were_given_before_an_early_end_keep_their_numbers(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(6000, 3)).astype(np.float32)
    limit = Criteria(constraints=Constraints(max_metric_drop_points=5.0))
    found = watched(tmp_path, {"task": "classification"}, np.diag([9.0, 1.0, 1.0]), limit, x=x, y=x.argmax(1))

    assert 0 < found.examples < 4000
    assert all(str(x[one.example].argmax()) == one.truth for one in found.shown)


def test_of_numbers_the_largest_changes_are_shown(tmp_path: Path) -> None:
    x = vectors()
    found = watched(tmp_path, {"task": "regression"}, LEANING, x=x, y=x)

    assert found.kind is AnswerKind.NUMBERS
    assert found.worse == found.changed > 0
    changes = [one.change for one in found.shown]
    assert changes == sorted(changes, reverse=True)
    first = found.shown[0]
    assert first.candidate.numbers == pytest.approx((x @ LEANING)[first.example], rel=1e-5)
    assert first.change == pytest.approx(np.abs(x[first.example] - x[first.example] @ LEANING).mean(), rel=1e-4)
    assert found.confusion is None
    assert sum(found.histograms[0].original) == 3 * found.examples


def test_of_pairs_the_similarity_counts_and_nothing_is_better_or_worse(tmp_path: Path) -> None:
    a = vectors()
    b = a[::-1]
    spec = {"task": "embedding", "pairs": True}
    found = watched(tmp_path, spec, LEANING, x_a=a, x_b=b, y=np.arange(EXAMPLES, dtype=np.float32))

    assert found.kind is AnswerKind.SIMILARITIES
    assert (found.worse, found.better) == (0, 0)
    first = found.shown[0]
    left, right = a[first.example], b[first.example]
    expected = float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    assert first.original.numbers == pytest.approx((expected,), rel=1e-4)
    assert first.truth == str(first.example)


def test_without_labels_the_original_stands_for_the_truth(tmp_path: Path) -> None:
    found = watched(tmp_path, {"task": "fidelity"}, LEANING, x=vectors())

    assert found.confusion is not None
    assert not found.confusion.by_label
    assert found.confusion.original == ()
    assert found.other == found.changed > 0
    assert {one.truth for one in found.shown} == {None}


def test_the_same_model_changes_nothing(tmp_path: Path) -> None:
    found = watched(tmp_path, {"task": "fidelity"}, np.eye(3), x=vectors())

    assert (found.changed, found.shown) == (0, ())


def test_many_classes_are_told_as_pairs() -> None:
    truth = np.arange(2 * MOST_CLASSES)
    shifted = np.roll(truth, 1)
    found = confusion_of(truth, truth, shifted, [])

    assert found.classes == found.candidate == ()
    assert {(one.original, one.candidate) for one in found.mixups} == {(0, 1)}


def test_a_name_that_is_not_a_pictures_leads_to_none(tmp_path: Path) -> None:
    watched(tmp_path, {"task": "fidelity"}, np.eye(3), x=vectors())

    with pytest.raises(KeyError):
        read_picture(tmp_path / "answers.zip", "../answers.json")


def test_the_operators_of_a_candidate_are_told_by_layer(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.zeros((60, 1, 28, 28), np.float32))
    engine = open_engine("onnx", SAMPLES / "fashion_mobilenet.onnx", tmp_path)
    dataset = load_dataset(
        tmp_path / "d.npz", DatasetSpec(kind="npz", task="fidelity"), engine.summary.inputs, seed=1, scratch=tmp_path
    )
    ran = ran_by(engine, dataset, Target(), p50_ms=1.0)

    assert ("stem.0", "Conv") in {(one.layer, one.operator) for one in ran}
    assert all(one.time_ms > 0 for one in ran)
    answers_of(AnswerWatch(), dataset, tmp_path, ran)
    assert read_ran(tmp_path / "answers.zip") == ran


@pytest.mark.parametrize(("shift", "kind"), [(0.0, Scores.OUTPUT), (-0.5, Scores.SOFTMAX)])
def test_one_column_is_the_score_of_the_second_class(shift: float, kind: Scores) -> None:
    spec = DatasetSpec(kind="npz", task="classification")
    values = np.asarray([[0.1], [0.9], [0.6], [0.2]]) + shift
    watch = AnswerWatch()
    watch.add(spec, values, 1 + 2 * shift - values, np.asarray([0, 1, 0, 0]))
    assert watch._meter is not None
    found = watch._meter.found(np.arange(4), ["no", "yes"])

    assert found.scores is kind
    assert found.turns == {Turn.WORSE: 3, Turn.BETTER: 1, Turn.OTHER: 0}
    assert found.shown[0].original.label == ("no" if found.shown[0].example in (0, 3) else "yes")
