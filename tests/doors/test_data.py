"""Data sets as members have them, from the bytes of an upload to a verdict or to what is wrong with them."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from django.test import Client
from PIL import Image

from apps.agents.contracts.state import Status
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.door import Door, quick
from tests.optimization.test_real_sessions import answers, network

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = 120
X = np.random.default_rng(4).normal(size=(EXAMPLES, 12)).astype(np.float32).round(3)
CLASSES = np.array(["bee", "größte", "ant"])


def table(labels: np.ndarray) -> bytes:
    """As a spreadsheet of another country saves it, with the data frame's index before all columns."""
    lines = [";" + ";".join(f'"f{place}, in cm"' for place in range(12)) + ";y"]
    lines += [
        f"{row};" + ";".join(f"{value:.3f}".replace(".", ",") for value in X[row]) + f";{labels[row]}"
        for row in range(EXAMPLES)
    ]
    return "\r\n".join(lines).encode("utf-16")


def zipped(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """Grey of 16 bits with every second ending unknown, below train/ and val/."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("set/readme.txt", "none")
        for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
            png = io.BytesIO()
            Image.fromarray(picture).save(png, "PNG")
            part, ending = ("val", "jfif") if number % 2 else ("train", "png")
            archive.writestr(f"set/{part}/{label}/{number}.{ending}", png.getvalue())
    return sink.getvalue()


def analysis_notes(session: OptimizationSession) -> str:
    return " ".join(session.steps.get(kind="analyse").result["notes"])


def test_a_table_of_another_country_with_names_for_classes_gets_a_verdict(door: Door) -> None:
    model = network((3, 4), 3)
    labels = CLASSES[answers(model, X.reshape(-1, 3, 4)).argmax(1)]
    spec = {"kind": "table", "task": "classification", "classes": CLASSES.tolist(), "shapes": {"all": [3, 4]}}
    dataset = door.data(table(labels), spec, "table.csv")
    told = " ".join(dataset.described.notes)
    assert "Read with semicolons and decimal commas." in told
    assert "index of the rows" in told
    session = door.verdict(door.model(model, "net.onnx"), dataset, quick("onnx-dynamic-int8"))
    report = session.steps.filter(kind="evaluate").first()
    assert report is not None
    assert report.result["metrics"][0]["original"]["value"] == 100
    assert {one["label"] for one in report.result["classes"]} == set(labels)


def test_deep_grey_pictures_below_the_folders_of_splits_are_seen_as_they_are(door: Door) -> None:
    """The session ends in a verdict only where the original recognises what the pictures show."""
    pixels = np.random.default_rng(5).integers(0, 256, size=(EXAMPLES, 6, 6))
    model = network((1, 6, 6), 2)
    labels = answers(model, (pixels[:, np.newaxis] / 255).astype(np.float32)).argmax(1)
    images = {"width": 6, "height": 6, "color": "L"}
    content = zipped((pixels * 257).astype(np.uint16), labels)
    dataset = door.data(content, {"kind": "images", "task": "classification", "images": images}, "pictures.zip")
    assert (dataset.described.classes, dataset.described.examples) == (("0", "1"), EXAMPLES)
    assert "train (60), val (60)" in " ".join(dataset.described.notes)
    assert "1 file is not a picture and was left out: set/readme.txt" in " ".join(dataset.described.notes)
    session = door.run(door.model(model, "net.onnx"), dataset, quick("onnx-graph"))
    assert session.status == Status.COMPLETED


@pytest.mark.nightly
def test_labels_from_one_are_counted_anew_and_labels_at_random_are_told(door: Door) -> None:
    model = network((12,), 3)
    version, truth = door.model(model, "net.onnx"), answers(model, X).argmax(1)
    spec = {"kind": "npz", "task": "classification"}
    numbered = door.run(version, door.data(npz(any=X, y=truth + 1.0), spec, "one.npz"), quick("onnx-graph"))
    assert numbered.status == Status.COMPLETED
    assert "The labels 1 to 3 are used as classes 0 to 2." in analysis_notes(numbered)
    random = door.data(npz(any=X, y=np.random.default_rng(0).permutation(truth)), spec, "random.npz")
    session = door.verdict(version, random, quick("onnx-graph"))
    assert "Until then, its accuracy means nothing" in session.analysis.body["suspicions"][0]
    assert session.log.filter(level="warning", message__contains="Until then, its accuracy means nothing").exists()
    page = Client()
    page.force_login(door.user)
    report = page.get(f"{session.get_absolute_url()}report/").content.decode()
    assert report.index("Until then, its accuracy means nothing") < report.index('id="report-plan"')
    turned = door.run(version, door.data(npz(any=X, y=(truth + 1) % 3), spec, "turned.npz"))
    assert (turned.status, turned.error_code) == (Status.FAILED, "dataset.model_at_chance")
    assert [step.kind for step in turned.steps.all()] == ["analyse"]
    assert "name the classes as 1, 2, 0" in turned.error
