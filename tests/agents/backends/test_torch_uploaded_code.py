"""Code that comes with a model: what a page shows is what runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from apps.agents.backends.torch.architectures import uploaded_code
from apps.agents.backends.torch.description import parse_description
from apps.agents.backends.torch.loading import load_opened, summarize
from apps.agents.backends.torch.opening import open_model
from apps.agents.backends.torch.saving import save_state_dict
from apps.agents.contracts.errors.torch_models import DescriptionInvalid
from tests.agents.torch_uploads import DESCRIPTION, described_zip, network

DESCRIBED = b'file = "net/model.py"\nfactory = "build"\n[[input]]\nname = "x"\nshape = ["batch", 4]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.py").write_text("def build(): ...\n")
    (tmp_path / "net" / "layers.py").write_text("WIDTH = 4\n")
    return tmp_path


BROUGHT = ("lathe.toml", "net/layers.py", "net/model.py")


def test_every_python_file_is_shown_the_named_one_first(folder: Path) -> None:
    files = uploaded_code(parse_description(DESCRIBED), folder, BROUGHT)
    assert [(file.name, file.text) for file in files] == [
        ("net/model.py", "def build(): ...\n"),
        ("net/layers.py", "WIDTH = 4\n"),
    ]


@pytest.mark.parametrize("name", ["net/__pycache__/model.cpython-311.pyc", "net/model.so", "layers.pyd"])
def test_compiled_code_is_refused_for_python_would_run_it_instead(folder: Path, name: str) -> None:
    with pytest.raises(DescriptionInvalid, match="upload only the source"):
        uploaded_code(parse_description(DESCRIBED), folder, (*BROUGHT, name))


def test_what_an_import_has_left_beside_the_sources_is_none_of_the_uploads(tmp_path: Path) -> None:
    opened = open_model(described_zip(tmp_path / "model.zip"), tmp_path)
    (opened.path / "__pycache__").mkdir()
    (opened.path / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"")
    assert [file.name for file in summarize(opened).code] == ["model.py", "layers.py"]
    assert [file.name for file in summarize(open_model(opened.path, tmp_path)).code] == ["model.py", "layers.py"]


def test_compiled_code_of_an_archive_is_refused_before_any_of_it_runs(tmp_path: Path) -> None:
    ran = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    path = described_zip(tmp_path / "model.zip", {"model.py": ran, "layers.pyc": b""})
    with pytest.raises(DescriptionInvalid, match=r"compiled code \(layers\.pyc\)"):
        summarize(open_model(path, tmp_path))
    assert not (tmp_path / "ran").exists()


def test_importing_an_uploads_code_leaves_its_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    opened = open_model(described_zip(tmp_path / "model.zip"), tmp_path)
    before = sorted(opened.path.rglob("*"))
    load_opened(opened)
    assert sorted(opened.path.rglob("*")) == before
    assert not sys.dont_write_bytecode


@pytest.mark.parametrize("key", ["weights", '"weights"'])
def test_weights_that_are_named_get_a_new_name_or_are_refused(tmp_path: Path, key: str) -> None:
    described = f'{key} = "old.pt"\n{DESCRIPTION}'
    file = tmp_path / "old.pt"
    torch.save(network().state_dict(), file)
    files = {"lathe.toml": described, "old.pt": file.read_bytes()}
    model = load_opened(open_model(described_zip(tmp_path / "model.zip", files), tmp_path))
    (tmp_path / "out").mkdir()
    if key != "weights":
        with pytest.raises(DescriptionInvalid, match="on a separate line"):
            save_state_dict(model, tmp_path / "out")
        return
    written = open_model(save_state_dict(model, tmp_path / "out"), tmp_path)
    assert load_opened(written).summary.parameters == model.summary.parameters
