"""The identity of a step's work: equal exactly if all that decides its result is."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.identity import InputFile, Work
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import StepKind

WORK = Work(
    kind=StepKind.OPTIMIZE,
    technique="onnx-static-int8",
    parameters={"weight_type": "int8", "per_channel": True},
    inputs={"model": InputFile(sha256="a" * 64, format="onnx")},
    signature=None,
    dataset="b" * 64,
    reading=DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION),
    seed=7,
    threads=1,
)


def test_the_order_of_parameters_and_inputs_does_not_matter() -> None:
    turned = WORK.model_copy(update={"parameters": dict(reversed(WORK.parameters.items()))})
    assert turned.identity == WORK.identity
    assert len(WORK.identity) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"kind": StepKind.EVALUATE},
        {"technique": "onnx-dynamic-int8"},
        {"parameters": {"weight_type": "uint8", "per_channel": True}},
        {"inputs": {"model": InputFile(sha256="c" * 64, format="onnx")}},
        {"inputs": {**WORK.inputs, "teacher": InputFile(sha256="a" * 64, format="onnx")}},
        {"signature": "serve"},
        {"dataset": "d" * 64},
        {"reading": WORK.reading.model_copy(update={"training_share": 0.2})},
        {"seed": 8},
        {"seed": None},
        {"threads": 2},
        {"target": Target()},
        {"part": Part.CHOOSING},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_decides_the_result_changes_it(change: dict[str, Any]) -> None:
    assert WORK.model_copy(update=change).identity != WORK.identity
