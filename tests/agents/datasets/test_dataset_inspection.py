"""Every value is looked at before a session may use a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import LabelsInvalid, TooFewExamples, ValuesNotFinite
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.datasets.inspection import inspect_examples
from apps.agents.handlers.datasets import inspect_dataset
from tests.agents.told import Told

SPEC = DatasetSpec(kind="npz", task="classification")


def saved(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path, x=x, y=y)
    return path


def unlike(examples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(examples, 3))


def test_good_data_passes_with_its_classes_counted(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = saved(tmp_path / "d.npz", unlike(60), np.arange(60) % 3)
    found = inspect_examples(path, SPEC, watcher=lambda done, total: told.append((done, total)))
    assert found.summary.examples == found.checked == 60
    assert found.class_counts == {"0": 20, "1": 20, "2": 20}
    assert (found.duplicates, found.notes) == (0, ())
    assert told[-1] == (60, 60)


def test_a_value_that_is_no_number_is_named_by_array_and_example(tmp_path: Path) -> None:
    x = unlike(60)
    x[41, 1], x[50, 0] = np.nan, np.inf
    with pytest.raises(ValuesNotFinite, match=r"'x' contains 2 .* example 41"):
        inspect_examples(saved(tmp_path / "d.npz", x, np.zeros(60, int)), SPEC)


def test_a_label_that_is_no_number_is_refused(tmp_path: Path) -> None:
    labels = np.arange(60.0)
    labels[7] = np.nan
    with pytest.raises(ValuesNotFinite, match="example 7"):
        inspect_examples(saved(tmp_path / "d.npz", unlike(60), labels), DatasetSpec(kind="npz", task="regression"))


def test_a_label_beyond_the_named_classes_is_refused(tmp_path: Path) -> None:
    spec = DatasetSpec(kind="npz", task="classification", classes=("cat", "dog"))
    with pytest.raises(LabelsInvalid, match="largest is 2, but 2 classes"):
        inspect_examples(saved(tmp_path / "d.npz", unlike(60), np.arange(60) % 3), spec)


def test_duplicates_and_contradictions_are_told(tmp_path: Path) -> None:
    x = unlike(60)
    x[10], x[20] = x[0], x[1]
    labels = np.zeros(60, int)
    labels[20] = 1
    found = inspect_examples(saved(tmp_path / "d.npz", x, labels), SPEC)
    assert (found.duplicates, found.contradictions) == (2, 1)
    assert "2 examples are identical" in found.notes[0]
    assert "fewer than 5 examples" in found.notes[2]


def test_a_single_class_is_told(tmp_path: Path) -> None:
    found = inspect_examples(saved(tmp_path / "d.npz", unlike(60), np.zeros(60, int)), SPEC)
    assert "one class" in found.notes[-1]


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples, match="19 examples"):
        inspect_examples(saved(tmp_path / "d.npz", unlike(19), np.zeros(19, int)), SPEC)


def test_the_job_hands_back_the_summary_with_its_notes(tmp_path: Path) -> None:
    path = saved(tmp_path / "d.npz", np.ones((60, 3)), np.arange(60) % 2)
    job = Job(handler="", scratch=tmp_path, inputs={"dataset": path}, arguments={"spec": SPEC.model_dump(mode="json")})
    told = Told(job)
    result = inspect_dataset(told)  # type: ignore[arg-type]
    summary = DatasetSummary.model_validate(result.body)
    assert summary.examples == 60
    assert "59 examples are identical" in summary.notes[0]
    assert list(summary.notes) == told.lines
    assert told.fractions[-1] == 1.0
