"""Code that comes with a model: what a page shows is what runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.backends.torch.architectures import uploaded_code
from apps.agents.backends.torch.description import parse_description
from apps.agents.errors import DescriptionInvalid

DESCRIBED = b'file = "net/model.py"\nfactory = "build"\n[[input]]\nname = "x"\nshape = ["batch", 4]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.py").write_text("def build(): ...\n")
    (tmp_path / "net" / "layers.py").write_text("WIDTH = 4\n")
    return tmp_path


def test_every_python_file_is_shown_the_named_one_first(folder: Path) -> None:
    files = uploaded_code(parse_description(DESCRIBED), folder)
    assert [(file.name, file.text) for file in files] == [
        ("net/model.py", "def build(): ...\n"),
        ("net/layers.py", "WIDTH = 4\n"),
    ]


@pytest.mark.parametrize("name", ["net/__pycache__/model.cpython-311.pyc", "net/model.so", "layers.pyd"])
def test_compiled_code_is_refused_for_python_would_run_it_instead(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x00")
    with pytest.raises(DescriptionInvalid, match="send the source alone"):
        uploaded_code(parse_description(DESCRIBED), folder)
