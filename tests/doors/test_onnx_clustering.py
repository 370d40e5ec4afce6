"""A session whose criteria count the download: clustered, judged by its compressed size, and delivered that small."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import zstandard

from apps.agents.contracts.criteria import Budget, Constraints, CountedSize, Objective
from apps.agents.contracts.state import Outcome
from lathe.testing.data_sets import npz
from tests.door import API, Door, quick

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_the_download_that_counts_is_the_one_delivered(door: Door) -> None:
    version = door.model(SAMPLES / "fashion_mobilenet.onnx", "mobilenet.onnx")
    with np.load(SAMPLES / "fashion_mnist_test.npz") as data:
        some = npz(image=data["image"][:600], y=data["y"][:600])
    dataset = door.data(some, {"kind": "npz", "task": "classification"}, "test.npz")
    criteria = quick(
        "onnx-clustering",
        objective=Objective.SIZE,
        counted_size=CountedSize.COMPRESSED,
        constraints=Constraints(max_metric_drop_points=10.0),
        budget=Budget(minutes=5.0, candidates=1),
    )
    done = door.verdict(version, dataset, criteria)
    assert done.outcome == Outcome.IMPROVED, done.steps.values_list("key", "status", "error")

    report = door.client.get(f"{API}/sessions/{done.pk}/report/").json()["candidates"][0]["evaluation"]
    assert report["size_bytes"]["ratio"] == pytest.approx(1.0, abs=0.02)
    assert report["compressed_bytes"]["ratio"] > 3
    with ZipFile(BytesIO(door.package(done))) as package:
        (small,) = [name for name in package.namelist() if name.endswith(".zst")]
        assert len(package.read(small)) == report["compressed_bytes"]["candidate"]
        restored = zstandard.ZstdDecompressor().decompress(package.read(small))
        readme = package.read("README.txt").decode()
        card = package.read("MODEL_CARD.md").decode()
    assert len(restored) == report["size_bytes"]["candidate"]
    assert hashlib.sha256(restored).hexdigest() in card
    assert "was not proven to run" not in readme
