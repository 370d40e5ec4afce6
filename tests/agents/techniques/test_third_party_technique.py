"""The package of examples/acme-lathe, installed as it stands: found, offered, tried, repaired, carried out, packed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from tests.agents.workshop import FASHION, RESNET

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "add-a-technique.md"
EXAMPLE = ROOT / "examples" / "acme-lathe"
IN_LATHE = "tests/optimization/package_installed.py"
_BLOCK = re.compile(r"```\w+\n# (?P<name>[\w./]+)\n(?P<text>.*?)```", re.DOTALL)

CATALOGUE = """
import json, sys
from apps.agents.techniques.catalogue import broken_techniques, catalogue
spec = catalogue()["acme-palette"]
heavy = sorted({"numpy", "onnx"} & set(sys.modules))
print(json.dumps({"label": spec.label, "parameters": spec.resolve({}), "heavy": heavy, "broken": broken_techniques()}))
"""

BROKEN = """
import json
from apps.agents.techniques.catalogue import BUILTIN, broken_techniques, catalogue
print(json.dumps({
    "added": sorted(catalogue().keys() - {spec.name for spec in BUILTIN}),
    "broken": [one.model_dump() for one in broken_techniques()],
}))
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
        "technique": "acme-palette",
        "parameters": {"values": 64},
        "dataset": {"kind": "npz", "task": "classification"},
        "original_format": "onnx",
        "format": "onnx",
    },
)
result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
shutil.copyfile(scratch / result.files[0].path, out)
print(result.body["digest"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path, into which an installer has put the package."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(EXAMPLE, folder / "source")
    asked = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "site")
    subprocess.run([sys.executable, "-m", "pip", "install", *asked, folder / "source"], check=True, timeout=120)
    return folder / "site"


def python(site: Path, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(ROOT / "platform"), str(ROOT)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=cwd or site,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_quotes_the_package() -> None:
    quoted = {match["name"]: match["text"] for match in _BLOCK.finditer(PAGE.read_text())}
    assert quoted.keys() == {"pyproject.toml", "acme_lathe/specs.py", "acme_lathe/palette.py"}
    for name, text in quoted.items():
        assert text == (EXAMPLE / name).read_text(), name


def test_an_outside_technique_is_in_the_catalogue_and_loads_nothing_heavy(installed: Path):
    done = python(installed, "-c", CATALOGUE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    parameters = {"values": 256, "spacing": "even", "keep_float_nodes": []}
    assert found == {"label": "Palette", "parameters": parameters, "heavy": [], "broken": []}


def test_an_outside_technique_is_carried_out_in_a_child(installed: Path, tmp_path: Path):
    scratch, out = tmp_path / "scratch", tmp_path / "palette.onnx"
    scratch.mkdir()
    done = python(installed, "-c", APPLY, scratch, RESNET, FASHION, out)
    assert done.returncode == 0, done.stderr
    initializers = onnx.load(str(out)).graph.initializer
    tables = [one for one in initializers if one.name.endswith("_table")]
    assert tables
    assert all(one.dims[0] <= 64 for one in tables)
    assert {one.data_type for one in initializers if one.name.endswith("_numbers")} == {TensorProto.UINT8}
    assert out.stat().st_size < RESNET.stat().st_size / 3.8


@pytest.mark.slow
def test_an_outside_technique_goes_the_whole_way_with_no_change_elsewhere(installed: Path):
    done = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", IN_LATHE, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


_WRONG = """
from acme_lathe.specs import PALETTE
from apps.agents.techniques.catalogue import ParameterSpec
PALETTE.model_validate({**dict(PALETTE), "parameters": (ParameterSpec(
    name="values", kind="choice", default=256, choices=(256,), search=(7,), help="-"),)})
"""


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("broken = acme_lathe.missing:PALETTE", "No module named 'acme_lathe.missing'"),
        ("broken = acme_lathe.specs:NOTHING", "has no attribute 'NOTHING'"),
        ("broken = json:dumps", "json:dumps is function, not TechniqueSpec."),
        ("broken = acme_lathe.specs:PALETTE", "the technique 'acme-palette' exists already."),
        ("broken = acme_lathe.leaves:PALETTE", "SystemExit: 3."),
        ("broken = acme_lathe.wrong:PALETTE", "acme-palette: parameter 'values' is 7, but must be one of 256"),
    ],
)
def test_a_wrong_entry_point_is_told_of_and_harms_no_other(installed: Path, tmp_path: Path, entry: str, reason: str):
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    (site / "acme_lathe" / "leaves.py").write_text("raise SystemExit(3)\n")
    (site / "acme_lathe" / "wrong.py").write_text(_WRONG)
    points = next(site.glob("*.dist-info")) / "entry_points.txt"
    points.write_text(f"[lathe.techniques]\na_palette = acme_lathe.specs:PALETTE\n{entry}\n")
    done = python(site, "-c", BROKEN)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["added"] == ["acme-palette"]
    (broken,) = found["broken"]
    assert (broken["entry"], broken["package"]) == ("broken", "acme-lathe")
    assert reason in broken["reason"]
    assert "The technique broken from acme-lathe is left out" in done.stderr
