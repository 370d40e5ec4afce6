"""A model card with everything in it, for packages of tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.agents.contracts.reports.card import CardData, CardFile, CardLimit, CardMetric, CardStep, ModelCard
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.state import Outcome

ACCURACY = CardMetric(
    key="accuracy",
    label="Accuracy",
    unit="%",
    original=Estimate(value=91.42, low=90.8, high=91.9),
    delivered=Estimate(value=91.46, low=90.9, high=92.0),
    change=Estimate(value=0.04, low=-0.1, high=0.18),
    change_unit="points",
)
SIZE = CardMetric(
    key="size",
    label="Size of the model",
    unit="bytes",
    original=Estimate(value=11_160_000),
    delivered=Estimate(value=2_880_000),
    change=Estimate(value=3.875),
    change_unit="×",
)


def card(**changes: Any) -> ModelCard:
    """The card of a quantized classifier, with `changes`."""
    original = CardFile(
        name="Fashion v1", sha256="a" * 64, size_bytes=11_160_000, format="ONNX", runtime="ONNX Runtime"
    )
    facts: dict[str, Any] = {
        "session": "0b2c7a3e-8a49-4a39-9d2e-0a4f5f3f0c11",
        "made_at": datetime(2026, 5, 4, 12, tzinfo=UTC),
        "lathe": "0.1.0",
        "outcome": Outcome.IMPROVED,
        "headline": "3.9 times smaller, accuracy unchanged",
        "reason": "Every limit holds.",
        "model": original.model_copy(update={"name": "Fashion: static int8", "sha256": "b" * 64}),
        "original": original,
        "inputs": (TensorSpec(name="x", dtype="float32", shape=("N", 4)),),
        "outputs": (TensorSpec(name="y", dtype="float32", shape=("N", 3)),),
        "parameters": 2_780_000,
        "steps": (
            CardStep(
                title="Static int8",
                technique="onnx.static",
                parameters={"weights": "int8"},
                libraries={"onnxruntime": "1.32.0", "onnx": "1.23.2"},
            ),
        ),
        "metrics": (ACCURACY, SIZE),
        "confidence": 0.95,
        "limits": (CardLimit(sentence="Accuracy rose 0.04 points, within 1 point", status="holds"),),
        "data": CardData(
            name="Fashion test", sha256="c" * 64, task="classification", examples=10_000, measured_on=6_000, judged=True
        ),
        "machine": Machine(
            hostname="bench",
            cpu="A processor",
            cores=2,
            memory_bytes=8_000_000_000,
            flags=(),
            system="Linux",
            python="3.11.7",
            libraries={},
        ),
        "timing": None,
        "warnings": ("The class bag loses 2 points",),
    }
    return ModelCard(**{**facts, **changes})
