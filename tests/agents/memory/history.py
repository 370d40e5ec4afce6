"""Experiences for tests: what sessions on a small network would have left."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.experience import Expected, Experience, Fingerprint, Provenance
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.memory.kinds import kinds_of
from apps.agents.techniques.catalogue import catalogue

STATIC = catalogue()["onnx-static-int8"]
HERE = Fingerprint(
    format="onnx",
    network="encoders",
    operators={"MatMul": 72, "Add": 100, "Softmax": 12},
    parameters=22_700_000,
    size_bytes=90_000_000,
    task="classification",
    metric="top1",
    counted_size="file",
    machine_class="x86 with VNNI",
    hostname="shed",
    processor="A CPU",
)

SIMILAR = HERE.model_copy(update={"size_bytes": 91_000_000})
"""Of a network that is as similar as can be, and not the same."""


def experience(
    session: str = "s1", measured: float = 2.0, expected: float = 1.0, drop: Estimate | None = None, **changes: Any
) -> Experience:
    """Static int8 with its default number types, expected to be `expected` times as fast, measured at `measured`."""
    numbers = Expected(speedup=expected, size_ratio=3.9, metric_drop_points=0.5, minutes=1.0)
    usual: dict[str, Any] = {
        "fingerprint": HERE,
        "kinds": kinds_of(STATIC, STATIC.resolve({})),
        "family": "quantization",
        "tables": numbers,
        "predicted": numbers,
        "speedup": Estimate(value=measured),
        "size_ratio": 3.9,
        "drop": drop or Estimate(value=0.5),
        "minutes": 1.0,
        "verdict": "holds",
        "provenance": Provenance(session=session, candidate="c01"),
    }
    return Experience(**{**usual, **changes})
