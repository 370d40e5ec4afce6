"""The locks say what pyproject.toml asks for, and no more than a set may hold."""

from __future__ import annotations

import re
import tomllib

import pytest

from lathe.env import PROJECT_ROOT

EXTRAS = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SETS = ("web", "worker", "dev")
PIN = re.compile(r"^(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[A-Za-z0-9.]+)$")
NEVER_IN_WEB = {
    *("autoawq", "bitsandbytes", "datasets", "keras", "numpy", "onnx", "onnx-ir", "onnxconverter-common"),
    *("onnxruntime", "onnxscript", "pandas", "pillow", "pyarrow", "safetensors", "scipy", "sympy", "tensorflow"),
    *("tokenizers", "torch", "torch-pruning", "transformers"),
}
FRAME = {
    "web": {"django", "djangorestframework", "django-htmx", "channels", "dramatiq", "redis"},
    "worker": {
        *("torch", "tensorflow", "onnx", "onnxruntime", "bitsandbytes", "autoawq", "torch-pruning"),
    },
    "dev": {"pytest-django"},
}


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
    """The pins of one set in pyproject.toml, without the set that it includes."""
    pins = {}
    for requirement in EXTRAS[name]:
        package, _, version = requirement.partition("==")
        if not package.startswith("lathe["):
            pins[re.sub(r"\[.*\]", "", package).lower()] = version
    return pins


@pytest.mark.parametrize("name", SETS)
def test_the_lock_has_every_pin_of_the_project(name):
    assert asked(name).items() <= locked(name).items()


@pytest.mark.parametrize("name", SETS)
def test_the_frame_is_there(name):
    assert FRAME[name] <= asked(name).keys()


def test_each_set_holds_the_smaller_one():
    web, worker, dev = (locked(name) for name in SETS)
    assert web.items() <= worker.items() <= dev.items()


def test_the_web_set_has_no_machine_learning_library():
    assert locked("web").keys() & NEVER_IN_WEB == set()


@pytest.mark.parametrize("name", SETS)
def test_no_lock_holds_what_differs_between_machines(name):
    """torchvision loads beside no build of this torch; triton and CUDA's parts come with a torch that needs them."""
    strangers = {
        package for package in locked(name) if package in ("torchvision", "triton") or package.startswith("nvidia-")
    } - {"nvidia-ml-py"}  # Asks the driver about devices, in plain Python: the same everywhere.
    assert strangers == set()
    assert not any("+" in version for version in locked(name).values())
