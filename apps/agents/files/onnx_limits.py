"""What one ONNX file can hold. Light."""

from __future__ import annotations

EXTERNAL_ABOVE_BYTES = 1_900_000_000
"""Protobuf takes 2 GiB in all; weights above this stand in a file of their own, and the artifact is a zip of both."""
SMALLEST_EXTERNAL_BYTES = 1024
