"""Careful rounding on models of other people: GPTQ leaves less noise than rounding to nearest in the same storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.agents.workshop import CLASSIFICATION, Workshop, sqnr_db
from tests.assets.models import Asset

pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(900)]

FEW = {"calibration_examples": 48}
BLOCKS = {"bits": 4, "block_size": 32}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def _gain_db(workshop: Workshop, asset: Asset, careful: dict[str, Any], storage: str, plain: dict[str, Any]) -> float:
    """What GPTQ leaves of the signal above what rounding to nearest leaves."""
    given = (asset.model, asset.data, CLASSIFICATION)
    nearest = workshop.apply(storage, *given, **plain)
    return sqnr_db(workshop.apply("onnx-gptq", *given, **careful, **FEW)) - sqnr_db(nearest)


def test_channels_of_magika(workshop: Workshop, magika: Asset) -> None:
    plain = {"bits": 4, "correct_biases": False}
    assert _gain_db(workshop, magika, {"bits": 4}, "onnx-low-bits", plain) > 1


def test_blocks_of_minilm(workshop: Workshop, minilm: Asset) -> None:
    assert _gain_db(workshop, minilm, BLOCKS, "onnx-weight-only", {**BLOCKS, "accuracy_level": 1}) > 1
