"""Loaded by a server of children, this has it wait for a third of a second only."""

import sys

sys.modules["__main__"].IDLE_S = 0.3  # type: ignore[attr-defined]
