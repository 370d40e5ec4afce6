"""Every kind of data and every task goes the whole way: upload, check, session, package, and the artifact made again.

The agents are the real ones, in real children; only the messages are turned by hand. The models are small, and right
on their own data: labels are what the original answers.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.state import Outcome, Status
from apps.agents.files.digest import digest_of
from apps.agents.packaging import reproducing
from apps.models.models import DataSet, ModelVersion
from apps.models.services import add_dataset, add_version, register_model
from apps.models.storage import open_blob
from apps.optimization import scratch, services
from apps.optimization.models import OptimizationSession
from lathe.testing.data_sets import npz
from tests.agents import graphs
from tests.optimization import crank

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.usefixtures("impatient")]

EXAMPLES = 150
SMALLER = Criteria(
    objective=Objective.SIZE,
    constraints=Constraints(max_metric_drop_points=10.0, min_size_reduction=2.0),
    allowed_techniques=("onnx-dynamic-int8",),
    budget=Budget(minutes=1.0, candidates=1),
)
Array = NDArray[Any]


class Case(NamedTuple):
    model: bytes
    data: bytes
    filename: str
    spec: dict[str, Any]


def network(inputs: tuple[int, ...], outputs: int) -> bytes:
    """[N, *inputs] → Flatten → MatMul (64) → Relu → MatMul → [N, outputs]."""
    random, features = graphs.rng(), int(np.prod(inputs))
    weights = {
        "w1": (random.normal(size=(features, 64)) / np.sqrt(features)).astype(np.float32),
        "w2": (random.normal(size=(64, outputs)) / 8).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["out"], name="second"),
    ]
    ends = [graphs.value("x", "N", *inputs)], [graphs.value("out", "N", outputs)]
    return graphs.model_of(nodes, *ends, weights).SerializeToString()


def answers(model: bytes, x: Array) -> Array:
    return np.asarray(onnxruntime.InferenceSession(model).run(None, {"x": x})[0])


def features(*shape: int) -> Array:
    return graphs.rng().normal(size=(EXAMPLES, *shape)).astype(np.float32)


def columns(x: Array, y: Array) -> dict[str, list[Any]]:
    return {**{f"f{index:03}": column.tolist() for index, column in enumerate(x.T)}, "y": y.tolist()}


def pictures() -> Case:
    """A folder per class; the preprocessing turns a picture into what the model was asked with."""
    model = network((3, 12, 12), 3)
    pixels = graphs.rng().integers(0, 256, size=(EXAMPLES, 12, 12, 3), dtype=np.uint8)
    classes = answers(model, (pixels.transpose(0, 3, 1, 2) / 255 - 0.5).astype(np.float32)).argmax(1)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for number, (picture, label) in enumerate(zip(pixels, classes, strict=True)):
            png = io.BytesIO()
            Image.fromarray(picture).save(png, "PNG")
            archive.writestr(f"{label}/{number}.png", png.getvalue())
    images = {"width": 12, "height": 12, "mean": [0.5]}
    spec = {"kind": "images", "task": "classification", "classes": ["0", "1", "2"], "images": images}
    return Case(model, sink.getvalue(), "pictures.zip", spec)


def comma_separated() -> Case:
    model, x = network((64,), 4), features(64)
    table = columns(x, answers(model, x).argmax(1))
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return Case(model, sink.getvalue().encode(), "table.csv", {"kind": "table", "task": "classification"})


def parquet() -> Case:
    model, x = network((64,), 1), features(64)
    sink = io.BytesIO()
    pq.write_table(pa.table(columns(x, answers(model, x)[:, 0])), sink)
    return Case(model, sink.getvalue(), "table.parquet", {"kind": "table", "task": "regression", "metric": "rmse"})


def vectors() -> Case:
    model, x = network((64,), 16), features(64)
    return Case(model, npz(x=x, y=answers(model, x)), "vectors.npz", {"kind": "npz", "task": "embedding"})


def pairs() -> Case:
    model, a = network((64,), 16), features(64)
    b = a[::-1] * np.float32(0.5) + a
    first, second = answers(model, a), answers(model, b)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    data = npz(x_a=a, x_b=b, y=(first * second).sum(1) / norms)
    return Case(model, data, "pairs.npz", {"kind": "npz", "task": "embedding", "pairs": True})


def unlabelled() -> Case:
    return Case(network((64,), 4), npz(x=features(64)), "inputs.npz", {"kind": "npz", "task": "fidelity"})


CASES = [
    (pictures, "top1"),
    (comma_separated, "top1"),
    (parquet, "rmse"),
    (vectors, "cosine"),
    (pairs, "spearman"),
    (unlabelled, "agreement"),
]


def uploaded(team: Team, user: User, case: Case) -> tuple[ModelVersion, DataSet]:
    """Both files as a member uploads them, and as the checks of a worker leave them."""
    version = add_version(register_model(team, user, "net"), user, file=SimpleUploadedFile("net.onnx", case.model))
    dataset = add_dataset(team, user, "data", case.spec, file=SimpleUploadedFile(case.filename, case.data))
    crank.turn_until_quiet()
    for row in (version, dataset):
        row.refresh_from_db()
        assert row.ready, row.refusal
    return version, dataset


def made_again(session: OptimizationSession, case: Case, folder: Path) -> reproducing.Reproduction:
    """What comes of the recipe in the session's own package, with the files that were uploaded."""
    with open_blob(services.package_of(session).blob) as file, zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    (folder / "original").write_bytes(case.model)
    (folder / "data").write_bytes(case.data)
    (written,) = folder.rglob("recipe.json")
    followed = reproducing.follow(
        reproducing.read_recipe(written), folder / "original", folder / "data", folder / "again", lambda event: None
    )
    record = json.loads(written.read_text())["artifact"]
    (packaged,) = folder.rglob(record["filename"])
    assert digest_of(packaged) == record["sha256"]
    return followed


EVERY_DAY = (unlabelled,)
"""The others, with labels as most of `tests/doors`, go the same way at night."""


@pytest.mark.parametrize(
    ("make", "metric"),
    [
        pytest.param(*case, id=case[0].__name__, marks=() if case[0] in EVERY_DAY else pytest.mark.nightly)
        for case in CASES
    ],
)
def test_a_session_hands_over_what_its_recipe_makes_again(
    make: Callable[[], Case], metric: str, team: Team, engineer: User, tmp_path: Path
) -> None:
    case = make()
    version, dataset = uploaded(team, engineer, case)
    session = services.session_start(user=engineer, version=version, dataset=dataset, criteria=SMALLER, seed=7)
    crank.turn_until_quiet()
    session.refresh_from_db()
    assert (session.status, session.error) == (Status.COMPLETED, "")
    assert session.outcome == Outcome.IMPROVED, session.verdict
    winner = services.report(session).winner
    assert winner is not None
    assert winner.evaluation is not None
    assert winner.evaluation.primary.metric == metric
    assert winner.evaluation.size_bytes.original > 2 * winner.evaluation.size_bytes.candidate
    answers = services.session_answers(session).answers
    assert answers.examples == winner.evaluation.examples
    assert sum(answers.histograms[0].candidate) >= answers.examples
    assert all(one.excerpt.picture for one in answers.shown) or case.spec["kind"] != "images"
    assert not list(scratch.root().iterdir())
    assert made_again(session, case, tmp_path).same
