"""Labels of further outputs: read like those of the judged one, set apart from the inputs, refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import LabelCount, LabelsInvalid, LabelsMissing, ValuesNotFinite
from apps.agents.contracts.identity import InputFile, Work
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.state import StepKind
from apps.agents.datasets.inspection import inspect_examples
from apps.agents.datasets.loading import load_dataset
from tests.agents.datasets.test_datasets import arrays

N = 40
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
Y = np.arange(N) % 3
INPUTS = (TensorSpec(name="x", dtype="float32", shape=("N", 4)),)
OUTPUTS = (
    TensorSpec(name="scores", dtype="float32", shape=("N", 3)),
    TensorSpec(name="sex", dtype="float32", shape=("N", 2)),
    TensorSpec(name="age", dtype="float32", shape=("N", 1)),
)


def spec(kind: str = "npz", **labels: dict[str, Any]) -> DatasetSpec:
    return DatasetSpec.model_validate({"kind": kind, "task": "classification", "output_labels": labels})


SEX = {"label": "sex", "task": "classification"}
AGE = {"label": "years", "task": "regression", "unit": "a"}


def test_names_and_numbers_become_labels_of_their_outputs(tmp_path: Path) -> None:
    years = np.linspace(1, 90, N)
    path = arrays(tmp_path / "d.npz", x=X, y=Y, sex=1 + np.arange(N) % 2, years=years)

    found = load_dataset(path, spec(sex=SEX, age=AGE), INPUTS, 0, outputs=OUTPUTS)

    labels = found.output_labels(np.arange(4))
    assert labels["sex"].tolist() == [0, 1, 0, 1], "1 and 2 are classes 0 and 1 of an output with two classes"
    assert labels["age"].tolist() == years[:4].tolist()
    assert any("Output sex: The labels 1 to 2" in note for note in found.notes)
    assert [one.name for one in found.summary.inputs] == ["x"]


def test_a_table_keeps_the_columns_of_labels_apart(tmp_path: Path) -> None:
    rows = [f"{a:.3f},{b:.3f},{y},{'f' if y else 'm'}" for (a, b, *_), y in zip(X, Y, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("a,b,y,sex\n" + "\n".join(rows))
    inputs = (TensorSpec(name="x", dtype="float32", shape=("N", 2)),)

    found = load_dataset(path, spec("table", sex=SEX), inputs, 0, outputs=OUTPUTS)

    assert found.summary.output_labels["sex"].classes == ("f", "m")
    assert found.output_labels(np.arange(3))["sex"].tolist() == [1, 0, 0]
    assert [one.name for one in found.summary.inputs] == ["a", "b"]


@pytest.mark.parametrize(
    ("named", "error", "word"),
    [
        ({}, LabelsMissing, "'years'"),
        ({"years": np.ones(N - 1)}, LabelCount, "years"),
        ({"years": np.array(["old"] * N)}, LabelsInvalid, "years"),
        ({"years": np.array([np.nan] * N)}, ValuesNotFinite, "years"),
    ],
)
def test_labels_that_do_not_fit_are_refused_by_name(tmp_path: Path, named: Any, error: type, word: str) -> None:
    path = arrays(tmp_path / "d.npz", x=X, y=Y, **named)
    with pytest.raises(error, match=word) as refused:
        inspect_examples(path, spec(age=AGE))
    assert refused.value.field in ("output_labels", "label")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "images"}, "kind images lacks"),
        ({"output": "age"}, "'age', the judged output"),
        ({"group": "years"}, "cannot be its labels as well"),
        ({"output_labels": {"age": {**AGE, "task": "classification"}}}, "of 'age': unit goes with task regression"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(changes: dict[str, Any], why: str) -> None:
    body = {"kind": "npz", "task": "classification", "output_labels": {"age": AGE}}
    with pytest.raises(ValueError, match=why):
        DatasetSpec.model_validate({**body, **changes})


def test_steps_from_before_keep_their_identity_and_labels_change_it() -> None:
    def identity(reading: DatasetSpec) -> str:
        file = {"model": InputFile(sha256="0" * 64, format="onnx")}
        return Work(
            kind=StepKind.EVALUATE,
            parameters={},
            inputs=file,
            signature=None,
            dataset="1" * 64,
            reading=reading,
            seed=0,
            threads=1,
        ).identity

    assert identity(spec()) == identity(DatasetSpec.model_validate({"kind": "npz", "task": "classification"}))
    assert identity(spec()) != identity(spec(age=AGE))
