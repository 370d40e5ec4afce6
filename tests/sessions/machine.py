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
