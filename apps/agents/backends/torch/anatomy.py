"""The parts of a PyTorch model that an analysis reports, with the names that `keep_float_nodes` accepts.

A part is a module that computes something itself: one without inner modules, or one with its own weights. Modules that
do nothing in inference, such as dropout, are not parts. The values between the parts of a TorchScript program cannot be
observed, so its parts cannot be hooked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from apps.agents.backends.torch.exported import ExportedProgramFile
from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.formats import Format

_IDLE = ("Dropout", "Identity", "DropPath")
"""Prefixes of the class names of modules that return their input unchanged."""


@dataclass(frozen=True)
class Part:
    name: str
    op_type: str
    """The class name."""
    module: torch.nn.Module


@dataclass(frozen=True)
class Anatomy:
    """A runnable `model` and its `parts`."""

    model: TorchModel
    parts: tuple[Part, ...]
    """In the order in which they are registered."""
    hookable: bool
    """Whether a module's inputs and outputs can be observed."""

    @property
    def modules(self) -> tuple[Part, ...]:
        """Every module, including those that contain others. The model itself is named after its class."""
        known = {part.module: part for part in self.parts}
        named = self.model.module.named_modules()
        return tuple(
            known.get(module) or Part(name or _class_of(module), _class_of(module), module) for name, module in named
        )


def dissect(model: TorchModel, path: Path) -> Anatomy:
    """The parts of `model`, which was loaded from the file at `path`.

    An exported program is one flat graph; its modules are reconstructed from the graph's record of where each operator
    was.
    """
    if model.format is Format.TORCH_EXPORT and isinstance(model.module, torch.fx.GraphModule):
        program = ExportedProgramFile(path).program
        unflattened = replace(model, module=torch.export.unflatten(program), positional=True)
        return Anatomy(unflattened, tuple(_parts(unflattened.module, _exported_types(program))), hookable=True)
    hookable = model.format not in (Format.TORCHSCRIPT, Format.TORCH_EXPORT)
    return Anatomy(model, tuple(_parts(model.module, {})), hookable=hookable)


def own_weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters of the module itself, without those of inner modules."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)


def _parts(root: torch.nn.Module, types: Mapping[str, str]) -> Iterator[Part]:
    for name, module in root.named_modules():
        inside = any(True for _ in module.children())
        weights = any(True for _ in own_weights(module))
        op_type = types.get(name) or _class_of(module)
        if weights or (name and not inside and not op_type.startswith(_IDLE)):
            yield Part(name or op_type, op_type, module)


def _class_of(module: torch.nn.Module) -> str:
    with suppress(AttributeError, RuntimeError):
        if isinstance(module, torch.jit.ScriptModule):
            return str(module.original_name)
    return type(module).__name__


def _exported_types(program: torch.export.ExportedProgram) -> dict[str, str]:
    """The class of each module by its path, from the graph's metadata."""
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            name = kind if isinstance(kind, str) else kind.__name__
            found[path] = name.rpartition(".")[2]
    return found
