"""The map and the house agree: paths, rooms, layers, and the sizes that were agreed."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AGENTS = ROOT / "apps" / "agents"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
MOST_NAMES = 16
LONGEST_FUNCTION = 50


def sources(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if "migrations" not in path.parts]


def layers(name: str) -> list[str]:
    (contract,) = (contract for contract in CONTRACTS if contract["name"].startswith(name))
    return [layer for layer in contract["layers"] if layer != "recipe"]


def rooms() -> set[str]:
    return {path.parent.name for path in AGENTS.glob("*/__init__.py")}


def paths_on_the_page() -> list[str]:
    return sorted(set(re.findall(r"`((?:apps|platform|tests|docs)/[\w./-]*)`", PAGE)))


@pytest.mark.parametrize("path", paths_on_the_page())
def test_a_path_on_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_page_has_paths() -> None:
    assert len(paths_on_the_page()) > 30


def test_the_page_lists_the_rooms_in_the_order_of_their_layers() -> None:
    table = PAGE[PAGE.index("### The rooms") : PAGE.index("`apps/agents/backends` stands")]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == layers("The rooms of apps.agents")


def test_every_room_stands_in_a_layer() -> None:
    assert rooms() == {*layers("The rooms of apps.agents"), "backends"}


def test_the_page_draws_the_layers_of_the_apps() -> None:
    drawn = re.search(r"^lathe →.*$", PAGE, flags=re.MULTILINE)
    assert drawn is not None
    shared = "apps.admin |"
    contract = [layer for layer in layers("Layers: lathe") if not layer.startswith(shared)]
    assert drawn.group() == " → ".join(contract)


@pytest.mark.parametrize("room", sorted(rooms() - {"backends"}))
def test_a_room_says_what_it_is_for(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((AGENTS / room / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring[0].isupper()


def test_the_top_of_the_agents_stays_small() -> None:
    names = [path.name for path in AGENTS.iterdir() if path.name != "__pycache__"]
    assert len(names) <= MOST_NAMES, sorted(names)


def test_files_are_short() -> None:
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources(AGENTS)]
    assert statistics.median(lengths) <= 100


def long_functions() -> Iterator[tuple[str, str]]:
    for path in [*sources(ROOT / "apps"), *sources(ROOT / "platform")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield str(path.relative_to(ROOT)), node.name


def test_no_function_is_longer_than_agreed() -> None:
    assert list(long_functions()) == []


@pytest.mark.parametrize(
    ("guess", "file"),
    [
        ("never worse", "agents/evaluation/selection.py"),
        ("int8", "agents/techniques/knowledge/onnx_static.py"),
        ("accuracy", "agents/evaluation/metrics/classification.py"),
        ("parameters", "agents/techniques/onnx.py"),
        ("live page", "optimization/live.py"),
        ("model formats", "agents/contracts/formats.py"),
        ("retried", "optimization/models/step.py"),
    ],
)
def test_a_newcomers_first_guess_hits(guess: str, file: str) -> None:
    assert guess in (AGENTS.parent / file).read_text(encoding="utf-8").lower()


def test_a_room_has_tests_of_its_own() -> None:
    tested = {path.parent.name for path in (ROOT / "tests" / "agents").glob("*/__init__.py")}
    assert rooms() - tested <= {"handlers"}
