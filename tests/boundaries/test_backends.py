"""Backends of different libraries do not import each other; what two of them need stands in `apps.agents`.

The module's name says its library: `onnx_quantization` and `onnx_files` are one family, `torch_pruning` is another.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lathe.env import PROJECT_ROOT

PACKAGE = "apps.agents.backends"
FOLDER = PROJECT_ROOT / "apps" / "agents" / "backends"


def family(module: str) -> str:
    return module.partition("_")[0]


def siblings(source: str) -> Iterator[str]:
    """The modules of the backends' package that `source` imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            names = [f"{PACKAGE}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.startswith(f"{PACKAGE}."):
                yield name.removeprefix(f"{PACKAGE}.").partition(".")[0]


def test_siblings_are_found_however_they_are_imported():
    source = f"""
import {PACKAGE}.onnx_a
from {PACKAGE} import torch_b
def later():
    from {PACKAGE}.tf_c import x
"""
    assert list(siblings(source)) == ["onnx_a", "torch_b", "tf_c"]


def test_each_backend_imports_its_own_family_only():
    strangers = [
        f"{path.stem} imports {other}"
        for path in sorted(FOLDER.rglob("*.py"))
        for other in siblings(path.read_text())
        if family(other) != family(path.relative_to(FOLDER).parts[0].removesuffix(".py"))
    ]
    assert strangers == []
