"""What the numbers of a test ask of the machine."""

from __future__ import annotations

import pytest

from apps.agents.measuring.machine import describe_machine
from apps.agents.measuring.machine_class import VNNI_FLAGS

FLAGS = frozenset(describe_machine().flags)
HAS_VNNI = bool(FLAGS & VNNI_FLAGS)
needs_vnni = pytest.mark.skipif(
    not HAS_VNNI, reason=f"int8 is this fast only with one of {', '.join(sorted(VNNI_FLAGS))}, and the CPU has none"
)
"""For assertions about how many times faster int8 is; what must hold anywhere stands in tests of its own."""

exact_sums = pytest.mark.skipif(
    not HAS_VNNI,
    reason="weights have 7 bits on this CPU, whose sums would saturate with 8, and the network loses by that",
)
"""For assertions about what 8 bits lose on a network whose weights need all of them."""

SATURATION_DB = 10.0
"""What sums of 16 bits cost at most on the networks of the tests: without VNNI, ONNX Runtime multiplies uint8 with int8
by VPMADDUBSW, whose sums saturate. Measured: 20 dB where more than 25 are reached with it."""


def least_db(decibels: float) -> float:
    """The SQNR that 8 bits reach on this processor, where `decibels` are reached with VNNI."""
    return decibels if HAS_VNNI else decibels - SATURATION_DB
