"""The package of docs/add-a-technique.md, installed as it stands there: found, offered and carried out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from tests.agents.workshop import FASHION, RESNET

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "add-a-technique.md"
_BLOCK = re.compile(r"```\w+\n# (?P<name>[\w./]+)\n(?P<text>.*?)```", re.DOTALL)

CATALOGUE = """
import json, sys
from apps.agents.techniques.catalogue import catalogue
spec = catalogue()["acme-magnitude"]
heavy = sorted({"numpy", "onnx"} & set(sys.modules))
print(json.dumps({"label": spec.label, "parameters": spec.resolve({}), "heavy": heavy}))
"""

APPLY = """
import shutil, sys
from pathlib import Path
from apps.agents.contracts.job import Job
from apps.agents.sandbox.process import run_job
scratch, model, dataset, out = (Path(argument) for argument in sys.argv[1:])
job = Job(
    handler="apps.agents.handlers.optimize:run",
    scratch=scratch,
    inputs={"model": model, "dataset": dataset},
    arguments={
        "technique": "acme-magnitude",
        "parameters": {"share": 0.3},
        "dataset": {"kind": "npz", "task": "classification"},
        "original_format": "onnx",
        "format": "onnx",
    },
)
result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
shutil.copyfile(scratch / result.files[0].path, out)
print(result.body["digest"])
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder to put on the path, with the package's modules and its metadata as an installer writes them."""
    site = tmp_path / "site"
    files = {match["name"]: match["text"] for match in _BLOCK.finditer(PAGE.read_text())}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["lathe.techniques"]
    lines = [f"{key} = {value}" for key, value in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[lathe.techniques]", *lines, ""]))
    return site


def python(site: Path, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_outside_technique_is_in_the_catalogue_and_loads_nothing_heavy(installed: Path):
    done = python(installed, CATALOGUE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"label": "Magnitude pruning", "parameters": {"share": 0.5}, "heavy": []}


def test_an_outside_technique_is_carried_out_in_a_child(installed: Path, tmp_path: Path):
    scratch, out = tmp_path / "scratch", tmp_path / "pruned.onnx"
    scratch.mkdir()
    done = python(installed, APPLY, scratch, RESNET, FASHION, out)
    assert done.returncode == 0, done.stderr
    arrays = [numpy_helper.to_array(one) for one in onnx.load(str(out)).graph.initializer if len(one.dims) >= 2]
    zeros = sum(int((array == 0).sum()) for array in arrays) / sum(array.size for array in arrays)
    assert zeros == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("magnitude = json:dumps", "is function, not TechniqueSpec"),
        (
            "magnitude = acme_lathe.specs:MAGNITUDE\nagain = acme_lathe.specs:MAGNITUDE",
            "'acme-magnitude', which exists already",
        ),
    ],
)
def test_a_wrong_entry_point_stops_the_start_with_a_sentence(installed: Path, entry: str, words: str):
    (next(installed.glob("*.dist-info")) / "entry_points.txt").write_text(f"[lathe.techniques]\n{entry}\n")
    done = python(installed, CATALOGUE)
    assert done.returncode != 0
    assert words in done.stderr
