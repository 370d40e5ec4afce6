"""Limits in the data's own terms: an error by the unit of its labels, a class by its name, groups of numbers."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import numpy as np
import pytest
from django.test import Client
from numpy.typing import NDArray
from PIL import Image

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.state import Outcome
from apps.models.models import DataSet, ModelVersion
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.door import SEED, Door, quick
from tests.optimization import crank
from tests.optimization.test_real_sessions import answers, columns, network

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = 480
COARSE, FINE = "onnx-static-int8", "onnx-float16"
Array = NDArray[Any]


def asked(door: Door, version: ModelVersion, dataset: DataSet, technique: str, **limits: Any) -> OptimizationSession:
    """A session whose request says nothing about the loss, except in `limits`."""
    body = {
        "objective": "size",
        "allowed_techniques": [technique],
        "budget": {"minutes": 1.0, "candidates": 1},
        "constraints": limits,
    }
    question = {"version": version.pk, "dataset": dataset.pk, "criteria": body, "seed": SEED, "start_anyway": True}
    made = door.post("sessions", question)
    crank.turn_until_quiet(limit=200)
    return OptimizationSession.objects.get(pk=made["id"])


def page_of(door: Door, path: str) -> str:
    page = Client()
    page.force_login(door.user)
    return page.get(path).content.decode()


# --- a label whose unit is tiny ---------------------------------------------------------------------------------------


@pytest.fixture
def strain(door: Door) -> tuple[ModelVersion, DataSet]:
    """A table of labels that the original misses by about 0.01 mm, and an int8 candidate by several times it."""
    random = np.random.default_rng(3)
    x = (random.normal(size=(EXAMPLES, 64)) * np.where(np.arange(EXAMPLES) % 4, 1.0, 0.01)[:, None]).astype(np.float32)
    model = network((64,), 1)
    y = answers(model, x)[:, 0] + random.laplace(scale=0.01, size=EXAMPLES)
    sink = io.StringIO()
    table = columns(x, y)
    writer = csv.writer(sink)
    writer.writerow([*table, "site"])
    writer.writerows(zip(*table.values(), np.where(np.arange(EXAMPLES) % 4, "strong", "weak"), strict=True))
    spec = {"kind": "table", "task": "regression", "unit": "mm", "group": "site"}
    return door.model(model, "net.onnx"), door.data(sink.getvalue().encode(), spec, "strain.csv")


@pytest.mark.nightly
def test_a_candidate_that_ruins_a_tiny_error_breaks_the_default(
    door: Door, strain: tuple[ModelVersion, DataSet]
) -> None:
    before = door.preview(*strain)["decidability"]["loss_limit"]
    assert before == "Mean absolute error may rise by at most 30 mm.", "points alone mean the unit, as they always did"
    refused = asked(door, *strain, COARSE)
    limits = refused.criteria.constraints
    assert (limits.drop_limit, limits.max_metric_drop_relative) == (None, 0.02), "resolved when the session started"
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_metric_drop_relative"
    sentence = refused.verdict["misses"][0]["sentence"]
    assert "beyond the limit of 0.0" in sentence
    assert "negligible against the labels' spread" in sentence, "2 % of so small an error would refuse everything"
    report = door.client.get(f"/api/v1/sessions/{refused.pk}/report/").json()
    assert "mm" in str(report)
    assert "(mm)" in page_of(door, f"{refused.get_absolute_url()}report/")

    question = {"version": strain[0].pk, "dataset": strain[1].pk, "criteria": {"allowed_techniques": [FINE]}}
    known = door.post("sessions/preview", question, status=200)
    told = known["decidability"]["loss_limit"]
    assert "2 % of the original's 0.0" in told, "an earlier session measured the original"
    assert " mm. This is the default" in told

    kept = asked(door, *strain, FINE)
    assert kept.outcome == Outcome.IMPROVED, kept.verdict


def test_a_limit_of_one_where_the_error_is_a_hundredth_is_told(
    door: Door, strain: tuple[ModelVersion, DataSet]
) -> None:
    generous = asked(door, *strain, COARSE, max_metric_drop_points=1.0)
    assert generous.outcome == Outcome.IMPROVED, "criteria that name points for an error keep their meaning"
    answer = door.preview(*strain, quick(COARSE, constraints=Constraints(max_metric_drop_points=1.0)))
    conflict = next(one for one in answer["conflicts"] if one["code"] == "loss_limit_unscaled")
    assert "so even a ruined candidate could hold it" in conflict["message"]
    assert "1 mm" in conflict["message"]
    question = {
        "version": strain[0].pk,
        "dataset": strain[1].pk,
        "criteria": {"constraints": {"max_metric_drop_points": 1}},
    }
    mended = door.post("sessions/preview", {**question, "resolutions": ["loss_limit_unscaled/share"]}, status=200)
    assert "2 % of the original's" in mended["decidability"]["loss_limit"]


@pytest.mark.nightly
def test_a_group_of_numbers_is_limited_in_the_unit_of_the_labels(
    door: Door, strain: tuple[ModelVersion, DataSet]
) -> None:
    refused = asked(door, *strain, COARSE, max_metric_drop_unit=5000.0, max_group_drop_unit=0.001)
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_group_drop_unit"
    assert "the limit of 0.001 mm" in refused.verdict["misses"][0]["sentence"]
    wide = asked(door, *strain, COARSE, max_metric_drop_unit=5000.0, max_group_drop_unit=400.0)
    assert wide.outcome == Outcome.IMPROVED, wide.verdict


def test_a_limit_on_classes_is_refused_where_the_labels_are_numbers(
    door: Door, strain: tuple[ModelVersion, DataSet]
) -> None:
    answer = door.preview(*strain, quick(COARSE, constraints=Constraints(max_class_drop_points=5.0)))
    assert answer["contradictory"]
    checked = door.post(
        "criteria/check",
        {"dataset": strain[1].pk, "criteria": {"constraints": {"max_class_drop_points": 5.0}}},
        status=200,
    )
    assert "class_limit_unanswerable" in [one["code"] for one in checked["conflicts"]]


# --- a class that breaks ----------------------------------------------------------------------------------------------


def with_a_faint_class(model: bytes, draw: Any) -> tuple[Array, Array]:
    """Inputs of three classes, of which only those of the last are a thousand times fainter."""
    x = draw(4 * EXAMPLES)
    classes = answers(model, x).argmax(1)
    loud, faint = np.flatnonzero(classes != 2)[: EXAMPLES * 7 // 8], np.flatnonzero(classes == 2)[: EXAMPLES // 8]
    rows = np.random.default_rng(1).permutation(np.concatenate([loud, faint]))
    scale = np.where(classes == 2, 0.001, 1.0).reshape(-1, *[1] * (x.ndim - 1))
    return (x * scale).astype(np.float32)[rows], classes[rows]


def test_a_candidate_that_breaks_one_class_is_rejected_and_the_class_named(door: Door) -> None:
    model = network((12,), 3)
    x, y = with_a_faint_class(model, lambda n: np.random.default_rng(4).normal(size=(n, 12)).astype(np.float32))
    spec = {"kind": "npz", "task": "classification", "classes": ["cat", "dog", "owl"]}
    version, dataset = door.model(model, "net.onnx"), door.data(npz(x=x, y=y), spec, "data.npz")
    kept = asked(door, version, dataset, COARSE, max_metric_drop_points=30.0)
    assert kept.outcome == Outcome.IMPROVED, "top-1 holds its limit"
    refused = asked(door, version, dataset, COARSE, max_metric_drop_points=30.0, max_class_drop_points=30.0)
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_class_drop_points"
    assert [one["constraint"] for one in refused.verdict["misses"]] == ["max_class_drop_points"]
    assert "Of 3 classes, owl does worst: its recall fell" in refused.verdict["misses"][0]["sentence"]
    html = page_of(door, f"{refused.get_absolute_url()}report/")
    assert "Loss of each class at most" in html
    assert "Interval of the change, for all classes" in html


@pytest.mark.nightly
def test_the_class_of_a_folder_of_pictures_is_named(door: Door) -> None:
    """Dark pictures are the class that int8 breaks: their pixels are one step above black."""
    model = network((3, 12, 12), 3)
    random = np.random.default_rng(2)
    bright = random.integers(0, 256, size=(6 * EXAMPLES, 12, 12, 3), dtype=np.uint8)
    dark = random.integers(0, 2, size=(6 * EXAMPLES, 12, 12, 3), dtype=np.uint8)
    chosen = {}
    for name, pixels, number, count in (("0cat", bright, 0, 150), ("1dog", bright, 1, 150), ("2owl", dark, 2, 60)):
        classes = answers(model, (pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32)).argmax(1)
        chosen[name] = pixels[classes == number][:count]
    assert min(map(len, chosen.values())) >= 40, {name: len(one) for name, one in chosen.items()}
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, pixels in chosen.items():
            for number, picture in enumerate(pixels):
                png = io.BytesIO()
                Image.fromarray(picture).save(png, "PNG")
                archive.writestr(f"{name}/{number}.png", png.getvalue())
    spec = {"kind": "images", "task": "classification", "images": {"width": 12, "height": 12}}
    version, dataset = door.model(model, "net.onnx"), door.data(sink.getvalue(), spec, "pictures.zip")
    limits = {"max_metric_drop_points": 60.0, "max_class_drop_points": 20.0}
    refused = asked(door, version, dataset, COARSE, **limits)
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_class_drop_points"
    assert "2owl does worst" in refused.verdict["misses"][0]["sentence"]


# --- embeddings -------------------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_a_group_of_vectors_is_limited_in_points(door: Door) -> None:
    model = network((12,), 16)
    faint = np.arange(EXAMPLES) % 8 == 0
    x = np.random.default_rng(6).normal(size=(EXAMPLES, 12)) * np.where(faint, 0.001, 1.0)[:, None]
    x = x.astype(np.float32)
    data = npz(x=x, y=answers(model, x), volume=np.where(faint, "faint", "loud"))
    version = door.model(model, "net.onnx")
    dataset = door.data(data, {"kind": "npz", "task": "embedding", "group": "volume"}, "vectors.npz")
    refused = asked(door, version, dataset, COARSE, max_metric_drop_points=60.0, max_group_drop_points=20.0)
    assert refused.outcome == Outcome.UNCHANGED
    assert refused.verdict is not None
    assert refused.verdict["binding"] == "max_group_drop_points"
    assert "faint does worst: its mean cosine similarity × 100 fell" in refused.verdict["misses"][0]["sentence"]
