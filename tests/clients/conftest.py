"""A live portal with one member and their token, and the command `lathe` as a pipeline runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from apps.agents.packaging.package import DOCUMENTS, Content, build_package
from lathe.testing.data_sets import npz
from tests.agents import graphs
from tests.agents.cards import card
from tests.live_portal import ROOT, START_S, environment_in, running_portal
from tests.optimization.test_real_sessions import answers, network

QUICK = {"LATHE_TIMING_S": "1"}
"""No limit of these tests is about speed."""
NEW_MEMBER = """
from apps.accounts.models import Membership, Role, Team, TokenScope, User
from apps.accounts.services import create_token
user = User.objects.create_user("ci@example.org", "correct horse battery")
Membership.objects.create(team=Team.objects.create(name="Vision", slug="vision"), user=user, role=Role.ENGINEER)
print("token", create_token(user, name="pipeline", scope=TokenScope.WRITE, days=1)[1])
"""
EXAMPLES = 2_500
PATIENCE_S = 600
"""One command may wait for a whole session beside other tests."""


@dataclass(frozen=True)
class Portal:
    url: str
    token: str


@pytest.fixture(scope="session")
def portal() -> Iterator[Portal]:
    with running_portal(**QUICK) as (process, log):
        url = _address(process, log)
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", NEW_MEMBER]
        made = subprocess.run(
            command, cwd=ROOT, env=environment_in(log.parent), capture_output=True, text=True, timeout=120, check=True
        )
        token = re.search(r"^token (\S+)$", made.stdout, re.M)
        assert token, made.stdout
        yield Portal(url, token[1])


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(START_S * 4):
        if told := re.search(r"Lathe is running: (\S+)", log.read_text()):
            return told[1]
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the portal did not start:\n{log.read_text()[-4000:]}")


@dataclass(frozen=True)
class Command:
    """`lathe` with a home of its own."""

    home: Path
    known: dict[str, str]
    """What the pipeline's variables say of the portal."""

    @property
    def environment(self) -> dict[str, str]:
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("LATHE_")}
        places = {name: str(self.home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
        return {**quiet, **places, **self.known, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}

    def __call__(self, *arguments: object, asked: str = "") -> subprocess.CompletedProcess[str]:
        made = subprocess.run(
            [sys.executable, "-m", "lathe_client", *map(str, arguments)],
            cwd=self.home,
            env=self.environment,
            input=asked,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        print(made.stdout, made.stderr)
        return made


@pytest.fixture
def stranger_to_it(tmp_path: Path) -> Command:
    """The command on a machine that knows no portal."""
    return Command(tmp_path, {})


@pytest.fixture
def lathe(portal: Portal, tmp_path: Path) -> Command:
    return Command(tmp_path, {"LATHE_URL": portal.url, "LATHE_TOKEN": portal.token})


@dataclass(frozen=True)
class Files:
    good: Path
    bad: Path
    """The good one with noise on its weights."""
    data: Path
    """Examples on which the good one is always right."""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    model = network((8,), 3)
    x = np.random.default_rng(5).normal(size=(EXAMPLES, 8)).astype(np.float32)
    made = Files(folder / "good.onnx", folder / "bad.onnx", folder / "test.npz")
    made.good.write_bytes(model)
    made.bad.write_bytes(disturbed(model, 0.6))
    made.data.write_bytes(npz(x=x, y=answers(model, x).argmax(1)))
    return made


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as a session delivers it."""
    folder = tmp_path_factory.mktemp("package")
    documents = {role: folder / name for role, name in DOCUMENTS.items()}
    for path in documents.values():
        path.write_text(f"the {path.name} of the package")
    model = graphs.save(graphs.perceptron(), folder / "stored")
    (folder / "work").mkdir()
    content = Content(model, "net.onnx", "onnx", documents, card(), untried="nobody asks")
    return build_package(content, folder / "work", folder).path


def disturbed(model: bytes, noise: float, seed: int = 6) -> bytes:
    """The model with noise on the weights of its last layer, as a share of their spread."""
    changed = onnx.load_from_string(model)
    last = next(one for one in changed.graph.initializer if one.name == "w2")
    weights = numpy_helper.to_array(last)
    added = np.random.default_rng(seed).normal(size=weights.shape) * noise * weights.std()
    last.CopyFrom(numpy_helper.from_array((weights + added).astype(np.float32), "w2"))
    return changed.SerializeToString()
