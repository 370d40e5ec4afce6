"""A `.tflite` file is opened by the signature that is meant, everywhere, and each technique keeps to it."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.analysis.engine import open_analysis_engine
from apps.agents.backends.litert.inspection import inspect
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.errors.tensorflow_models import SignatureUnknown
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.packaging.package import DOCUMENTS, Content, build_package
from apps.agents.techniques.base import Assignment, Optimized, agent_for, spec_of
from apps.errors import UserError
from tests.agents.cards import card
from tests.agents.litert_files import CLASSES, WIDE, Function, litert_file, weights

SERVE, ENCODE = Function("serving_default", seed=1), Function("encode", "left", "right", seed=2)
FILES: dict[str, tuple[bytes, str | None, Function]] = {
    "one": (litert_file(SERVE), "serving_default", SERVE),
    "none": (litert_file(Function(None, seed=1)), None, Function(None, "scores", "features", seed=1)),
    "several, the default first": (litert_file(SERVE, ENCODE), "serving_default", SERVE),
    "several, the default last": (litert_file(ENCODE, SERVE), "serving_default", SERVE),
    "several, another is meant": (litert_file(SERVE, ENCODE), "encode", ENCODE),
    "several, the first is meant": (litert_file(ENCODE, SERVE), "encode", ENCODE),
}
EXAMPLES = np.random.default_rng(9).standard_normal((40, WIDE)).astype(np.float32)


class Silent:
    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None: ...

    def log(self, message: str, level: str = "info") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...


@pytest.fixture(params=list(FILES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str | None, Function]:
    content, signature, meant = FILES[request.param]
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return path, signature, meant


def right(meant: Function) -> Any:
    return EXAMPLES @ weights(meant.seed).T


def test_inspection_and_engine_tell_of_the_signature_that_is_meant(
    case: tuple[Path, str | None, Function], tmp_path: Path
) -> None:
    path, signature, meant = case
    engine = open_engine("tflite", path, tmp_path, signature)
    assert inspect(path, tmp_path, **({"signature": signature} if signature else {})) == engine.summary
    assert engine.summary.signature == signature
    assert [str(spec) for spec in engine.summary.inputs] == [f"{meant.takes}: float32[?, {WIDE}]"]
    assert [spec.name for spec in engine.summary.outputs] == [meant.gives]
    assert engine.summary.parameters == CLASSES * WIDE
    np.testing.assert_allclose(engine.session(Target())({meant.takes: EXAMPLES})[0], right(meant), rtol=1e-4, atol=1e-4)


def test_the_analysis_engine_looks_at_the_same(case: tuple[Path, str | None, Function], tmp_path: Path) -> None:
    path, signature, meant = case
    engine = open_analysis_engine("tflite", path, tmp_path, signature)
    (layer,) = engine.layers([{meant.takes: EXAMPLES[:4]}])
    assert (layer.parameters, layer.macs) == (CLASSES * WIDE, CLASSES * WIDE)
    found = engine.sensitivity([{meant.takes: EXAMPLES[:4]}], [layer.name], budget_s=3, tell=lambda *_: None)
    assert 10 < found.layers[layer.name] < 80
    assert engine.peak_memory_bytes({meant.takes: EXAMPLES[:1]}, Target()) > 0


@pytest.mark.parametrize("technique", ["litert-dynamic", "litert-static", "litert-float16"])
def test_techniques_change_that_function_and_hand_over_nothing_else(
    case: tuple[Path, str | None, Function], technique: str, tmp_path: Path
) -> None:
    path, signature, meant = case
    found = made(path, tmp_path / "made", technique, signature, meant)
    engine = open_engine("tflite", found.artifact, tmp_path)
    outputs = engine.session(Target())({meant.takes: EXAMPLES})[0]
    assert np.corrcoef(outputs.ravel(), right(meant).ravel())[0, 1] > 0.9
    assert len(engine.summary.signatures) <= 1
    assert found.result.input_size_bytes < 1.5 * (CLASSES * WIDE * 4 + 1000), "of that function alone"


def made(model: Path, folder: Path, technique: str, signature: str | None, meant: Function) -> Optimized:
    places = {"scratch": folder / "work", "out": folder / "out"}
    for place in places.values():
        place.mkdir(parents=True)
    np.savez(folder / "data.npz", **{meant.takes: EXAMPLES})
    inputs = open_engine("tflite", model, folder, signature).summary.inputs
    dataset = load_dataset(folder / "data.npz", DatasetSpec(kind=DatasetKind.NPZ, task=Task.FIDELITY), inputs, 0)
    spec, complete = spec_of(technique, {})
    assignment = Assignment(
        spec=spec, parameters=complete, model=model, dataset=dataset, format="tflite", signature=signature, **places
    )
    return agent_for(spec).run(assignment, Silent())


def test_every_signature_is_offered_whichever_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(litert_file(ENCODE, SERVE))
    for meant in (None, "encode"):
        offered = open_engine("tflite", path, tmp_path, meant).summary.signatures
        assert [one.name for one in offered] == ["encode", "serving_default"]


@pytest.mark.parametrize(("functions", "offered"), [([SERVE, ENCODE], "encode, serving_default"), ([ENCODE], "encode")])
def test_a_signature_that_it_has_not_is_named_with_those_that_it_has(
    functions: list[Function], offered: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(litert_file(*functions))
    with pytest.raises(SignatureUnknown, match=f"no signature 'other'. It has {offered}"):
        inspect(path, tmp_path, signature="other")


def test_the_script_of_a_package_calls_the_signature_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(litert_file(SERVE, ENCODE))
    documents = {role: tmp_path / name for role, name in DOCUMENTS.items()}
    for document in documents.values():
        document.write_text("{}")
    (tmp_path / "work").mkdir()
    content = Content(path, "net.tflite", "tflite", documents, card(), signature="encode")
    packed = build_package(content, tmp_path / "work", tmp_path)
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path / "package")
    np.savez(tmp_path / "x.npz", rows=np.zeros((1, WIDE), np.float32))
    script = next((tmp_path / "package").rglob("run.py"))
    told = subprocess.run([sys.executable, script, tmp_path / "x.npz"], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1].startswith("right  float32  (1, 4)"), told.stdout


def test_flipped_bytes_of_a_file_with_several_signatures_are_refused_or_bearable(tmp_path: Path) -> None:
    path, chance, refused = tmp_path / "model.tflite", random.Random(0), 0
    content = litert_file(ENCODE, SERVE)
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 3, 8))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255))
        path.write_bytes(damaged)
        try:
            inspect(path, tmp_path)
        except UserError:
            refused += 1
    assert 10 < refused < 200
