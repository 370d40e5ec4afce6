"""PyTorch from the bytes of an upload to a verdict, and on from what was promoted."""

from __future__ import annotations

import io
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from apps.agents.contracts.criteria import Budget, CountedSize
from apps.agents.contracts.state import Outcome, Status
from apps.models.models import ModelMetadata
from lathe.testing.data_sets import npz
from tests.agents.contracts.test_formats_page import BLOCK, PAGE
from tests.door import Door, quick, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HALF = quick("torch-half", budget=Budget(minutes=4, candidates=1))
CLASSES = {"kind": "npz", "task": "classification", "label": "y"}


def page_files() -> dict[str, str]:
    """The network of docs/formats.md and its description, as they stand there."""
    return {block["name"]: block["text"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")) if block["name"]}


def page_network(folder: Path) -> torch.nn.Module:
    (folder / "model.py").write_text(page_files()["model.py"])
    torch.manual_seed(3)
    network: torch.nn.Module = runpy.run_path(str(folder / "model.py"))["build"](10).eval()
    return network


def archive(files: dict[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return file.getvalue()


@pytest.mark.nightly
def test_the_pages_own_state_dict_behind_wrappers_of_training_is_optimized_and_so_is_what_comes_of_it(
    door: Door, tmp_path: Path
) -> None:
    network = page_network(tmp_path)
    weights = {f"module._orig_mod.{name}": tensor for name, tensor in network.state_dict().items()}
    images = np.random.default_rng(0).standard_normal((60, 3, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        labels = network(torch.from_numpy(images)).argmax(1).numpy()
    version = door.model(archive({**page_files(), "weights.safetensors": save(weights)}), "network.zip")
    assert "module._orig_mod. was removed" in version.metadata.summary.notes[0]
    dataset = door.data(npz(image=images, y=labels), CLASSES, "data.npz")
    first = door.verdict(version, dataset, HALF)
    assert first.outcome == Outcome.IMPROVED, told(first)
    second = door.verdict(door.promoted(first), dataset, HALF)
    assert not second.steps.exclude(traceback="").exists()
    third = door.verdict(version, dataset, quick("torch-magnitude", counted_size=CountedSize.COMPRESSED))
    assert third.outcome == Outcome.IMPROVED, told(third)
    report = third.candidates.get(status="selected").evaluation
    assert report.size_ratio > 1.15
    assert report.body["compressed_bytes"]["ratio"] == report.size_ratio
    assert report.body["size_bytes"]["ratio"] == pytest.approx(1.0, abs=0.02)


class Named(torch.nn.Module):
    """Gives its outputs in a mapping, and says nowhere what they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(6, 128)
        self.head = torch.nn.Linear(128, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.relu(self.body(x))
        return {"logits": self.head(hidden), "hidden": hidden}


def test_a_script_that_declares_no_outputs_is_previewed_and_started(door: Door, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(Named().eval()), str(tmp_path / "model.pt"))
    version = door.model(tmp_path / "model.pt")
    assert [str(one) for one in version.metadata.summary.outputs] == [
        "logits: float32[batch, 4]",
        "hidden: float32[batch, 128]",
    ]
    rows = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    dataset = door.data(npz(x=rows, y=np.arange(60) % 4), CLASSES, "data.npz")
    assert door.preview(version, dataset)["status_code"] == 200
    assert door.start(version, dataset).status == Status.QUEUED
    # As one that was checked by an earlier Lathe.
    ModelMetadata.record(version, version.metadata.summary.model_copy(update={"outputs": ()}))
    answer = door.preview(version, dataset)
    assert (answer["status_code"], answer["code"]) == (422, "model.interface_unknown")


# --- on from the ONNX that comes of it --------------------------------------------------------------------------------

EIGHT_BITS = quick("onnx-export", "onnx-dynamic-int8", budget=Budget(minutes=4, candidates=1))


class Scores(torch.nn.Module):
    """[N, 64] → 256 → [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(64, 256)
        self.head = torch.nn.Linear(256, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(torch.relu(self.body(x)))
        return scores


def exported(network: torch.nn.Module, path: Path) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.zeros(2, 64),), dynamic_shapes=({0: batch},))
    torch.export.save(program, str(path))


def scripted(network: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(network, torch.zeros(2, 64)), str(path))


@pytest.mark.parametrize(
    ("save_as", "name"), [(exported, "model.pt2"), pytest.param(scripted, "model.pt", marks=pytest.mark.nightly)]
)
def test_a_program_comes_to_onnx_in_8_bits_that_has_a_session_of_its_own(
    door: Door, tmp_path: Path, save_as: Callable[[torch.nn.Module, Path], None], name: str
) -> None:
    torch.manual_seed(0)
    network = Scores().eval()
    save_as(network, tmp_path / name)
    rows = np.random.default_rng(0).standard_normal((120, 64)).astype(np.float32)
    with torch.inference_mode():
        labels = network(torch.from_numpy(rows)).argmax(1).numpy()
    version, dataset = door.model(tmp_path / name), door.data(npz(x=rows, y=labels), CLASSES, "data.npz")
    first = door.verdict(version, dataset, EIGHT_BITS)
    assert first.outcome == Outcome.IMPROVED, told(first)
    promoted = door.promoted(first)
    assert promoted.metadata.format == "onnx"
    second = door.verdict(promoted, dataset, quick("onnx-float16"))
    assert not second.steps.exclude(traceback="").exists()
