"""Every command of docs/api.md, run by a shell against a real server, with a worker and its children beside it."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import dramatiq
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.accounts.models import TokenScope, User
from apps.accounts.services import create_token
from apps.agents.contracts.state import Outcome, Status
from apps.models.models import Alias, DataSet, InspectionStatus, ModelVersion, Upload
from apps.optimization.models import OptimizationSession

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
USER_GUIDE = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """The shell blocks of a page; where it stands for a secret or an address, the environment has them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"^export LATHE=.*\n", "", block, flags=re.MULTILINE) for block in blocks]


def run(script: str, folder: Path, address: str, token: str) -> str:
    """What the script prints; it ends at the first command that fails."""
    done = subprocess.run(
        ["/bin/bash", "-eu"],
        input=script,
        text=True,
        cwd=folder,
        capture_output=True,
        timeout=240,
        env={"PATH": os.environ["PATH"], "LATHE": address, "TOKEN": token, "PIECE": "70000", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of ten far-apart clusters and its test set: easy to tell apart, so that eight bits are enough."""
    random = np.random.default_rng(7)
    centres = random.normal(size=(10, 64)).astype(np.float32) * 3
    labels = np.arange(600) % 10
    inputs = (centres[labels] + random.normal(size=(600, 64))).astype(np.float32)
    hidden = random.normal(size=(64, 512), scale=0.1).astype(np.float32)
    seen = np.maximum(inputs @ hidden, 0)
    scores = np.linalg.lstsq(seen, np.eye(10)[labels], rcond=None)[0].astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "hidden"], ["h"], name="hidden"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("MatMul", ["r", "scores"], ["logits"], name="scores"),
        ],
        "clusters",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(hidden, "hidden"), numpy_helper.from_array(scores, "scores")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="tests")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "data.npz", x=inputs, y=labels)
    return tmp_path


@pytest.fixture
def worker() -> Iterator[dramatiq.Worker]:
    """Takes the messages of this process's broker, as a worker of its own would."""
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_threads=2, worker_timeout=50)
    worker.start()
    yield worker
    worker.stop()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_guide_works_from_token_to_deployment(
    live_server: Any, worker: dramatiq.Worker, engineer: User, folder: Path
) -> None:
    _, token = create_token(engineer, name="guide", scope=TokenScope.WRITE, days=1)
    script = "\n".join(commands(GUIDE))
    said = run(script, folder, live_server.url, token).splitlines()

    assert said[0] == engineer.email
    assert said.count("ready") == 2
    session = OptimizationSession.objects.get()
    assert (session.status, session.outcome) == (Status.COMPLETED, Outcome.IMPROVED), session.verdict
    assert session.verdict["reason"] in said
    assert not Upload.objects.exists()
    with zipfile.ZipFile(folder / "package.zip") as package:
        assert {"report.json", "report.html", "recipe.json"} <= {Path(name).name for name in package.namelist()}
    assert said[-2:] == ["2", "1"], "promoted to the new version, and back"
    original = ModelVersion.objects.get(number=1)
    assert Alias.objects.get(name="production").version == original
    assert sha256((folder / "deployed.onnx").read_bytes()).hexdigest() == original.blob_id


@pytest.mark.django_db(transaction=True)
def test_the_guide_works_without_a_worker_as_far_as_it_says(live_server: Any, engineer: User, folder: Path) -> None:
    """All that waits for a worker is cut short; what a worker would have found is written down in its place."""
    _, token = create_token(engineer, name="guide", scope=TokenScope.WRITE, days=1)
    before, after = GUIDE.split("Wait until both are checked")
    run("\n".join(commands(before)), folder, live_server.url, token)
    version, dataset = ModelVersion.objects.get(), DataSet.objects.get()
    assert (version.status, dataset.status) == (InspectionStatus.PENDING, InspectionStatus.PENDING)
    assert version.blob_id == sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert "this needs a worker" in after.partition("```sh")[0]


@pytest.mark.django_db(transaction=True)
def test_the_user_guides_short_example_works(live_server: Any, engineer: User, folder: Path) -> None:
    _, token = create_token(engineer, name="guide", scope=TokenScope.WRITE, days=1)
    chapter = USER_GUIDE.partition("## Automation")[2]
    assert engineer.email in run("\n".join(commands(chapter)), folder, live_server.url, token)
    assert ModelVersion.objects.get().filename == "model.onnx"
