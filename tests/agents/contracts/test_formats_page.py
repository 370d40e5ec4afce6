"""docs/formats.md: its examples are run as they stand, and what they save is taken."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.inspection import inspect
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import TORCH_FORMATS, Format

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: file=(?P<name>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = {
    "network.pt2": Format.TORCH_EXPORT,
    "network.pt": Format.TORCHSCRIPT,
    "classifier.zip": Format.TRANSFORMERS,
    "network.zip": Format.STATE_DICT,
}
IMAGES = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's files lie and its examples have been run."""
    folder = tmp_path_factory.mktemp("formats")
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    for block in blocks:
        if block["name"]:
            (folder / block["name"]).write_text(block["text"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, "model", raising=False)  # Another one of this name is none of the page's.
        for index, block in enumerate(blocks):
            if block["kind"] == "python" and not block["name"]:
                (folder / f"example{index}.py").write_text(block["text"])
                runpy.run_path(str(folder / f"example{index}.py"))
    sys.modules.pop("model", None)
    return folder


def test_the_page_shows_every_format_of_pytorch() -> None:
    assert set(SAVED.values()) == set(TORCH_FORMATS)


@pytest.mark.parametrize("name", SAVED)
def test_what_an_example_saves_is_taken_as_the_format_it_stands_for(name: str, folder: Path, tmp_path: Path) -> None:
    summary = inspect(folder / name, tmp_path)
    assert summary.format == SAVED[name]
    if summary.format == Format.TRANSFORMERS:
        assert [str(spec) for spec in summary.outputs] == ["logits: float32[batch, 2]"]
        return
    assert [str(spec) for spec in summary.inputs] == ["image: float32[batch, 3, 32, 32]"]
    assert TorchEngine(folder / name, tmp_path).session(Target())({"image": IMAGES})[0].shape == (3, 10)
