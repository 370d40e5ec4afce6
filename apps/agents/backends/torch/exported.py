"""Programs that torch.export has saved (`.pt2`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from apps.agents.backends.torch import stored
from apps.agents.backends.torch.description import torch_type
from apps.agents.backends.torch.exported_archive import ExportedArchive
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.probing import example_inputs, outside
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.torch_models import ProgramUnsupported
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.errors import UserError

EXAMPLE_LENGTH = 8
"""Length of free axes in the example with which a program is exported again."""


class ByPlace(nn.Module):  # type: ignore[misc]
    """Wraps a program with named or half-precision inputs: takes them by position and as float32."""

    def __init__(self, program: nn.Module, placed: int, names: list[str], types: list[torch.dtype]) -> None:
        super().__init__()
        self.program = program
        self.placed = placed
        self.names = names
        self.types = types

    def forward(self, *tensors: torch.Tensor) -> object:
        given = [tensor.to(dtype) for tensor, dtype in zip(tensors, self.types, strict=True)]
        rest = zip(self.names, given[self.placed :], strict=True)
        return self.program(*given[: self.placed], **dict(rest))


@dataclass(frozen=True)
class ExportedProgramFile:
    path: Path

    @cached_property
    def archive(self) -> ExportedArchive:
        """The archive, checked to be harmless. Raises `ProgramCode` and `ProgramUnsupported`."""
        archive = ExportedArchive(self.path)
        try:
            archive.check_harmless()
        except (KeyError, TypeError, AttributeError) as error:
            raise ProgramUnsupported(reason=f"its graph does not have PyTorch's form ({error})") from error
        return archive

    @cached_property
    def summary(self) -> ModelSummary:
        archive = self.archive
        if not archive.inputs or not archive.outputs:
            raise ProgramUnsupported(reason="it has no inputs or no outputs")
        counts = stored.counted(archive.weights)
        return ModelSummary(
            format=Format.TORCH_EXPORT,
            producer=f"torch {archive.version}".strip(),
            opset=None,
            inputs=tuple(outside(spec) for spec in archive.inputs),
            outputs=tuple(outside(spec) for spec in archive.outputs),
            parameters=sum(counts.values()),
            size_bytes=stored.size_bytes(archive.weights) + archive.program_bytes,
            operators=archive.operators,
            weight_dtypes=counts,
            weights=stored.listed(archive.weights),
        )

    @property
    def program(self) -> torch.export.ExportedProgram:
        """The program, loaded from the checked parts. Raises `ModelNotLoadable`, and the errors of `archive`."""
        with tempfile.TemporaryDirectory() as folder, _loading():
            plain = Path(folder) / "model.pt2"
            self.archive.write_plain(plain)
            return torch.export.load(plain)

    def load(self, device: str) -> TorchModel:
        """The program as a module with positional inputs. Raises `ModelNotLoadable`."""
        summary = self.summary
        call = self.archive.call
        if call is None or call[0] + len(call[1]) != len(summary.inputs):
            raise ProgramUnsupported(reason="it takes lists or mappings; export it with one tensor per argument")
        with _loading():
            module: nn.Module = self.program.module(check_guards=False)
        placed, names = call
        if names or self.archive.inputs != summary.inputs:
            types = [torch_type(spec.dtype) for spec in self.archive.inputs]
            module = ByPlace(module, placed, names, types)
        return TorchModel(place(module, device), Format.TORCH_EXPORT, summary, self.path.parent, positional=True)


@contextmanager
def _loading() -> Iterator[None]:
    try:
        yield
    except (MemoryError, UserError):
        raise
    except Exception as error:  # The loader may raise anything.
        raise ModelNotLoadable(reason=" ".join(str(error).split())[:400].rstrip(". ")) from error


def save_exported(model: TorchModel, path: Path) -> Path:
    """Export `model` again, with the same free axes, and write it to `path` without traces of the machine."""
    inputs = model.summary.inputs
    free = {axis for spec in inputs for axis in spec.shape if isinstance(axis, str)}
    example = example_inputs(inputs, dict.fromkeys(free, EXAMPLE_LENGTH))
    shapes = tuple(
        {index: torch.export.Dim.AUTO for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in inputs
    )
    with torch.no_grad():
        program = torch.export.export(model.module, tuple(example), dynamic_shapes=_nested(model, shapes), strict=False)
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            for trace in ("stack_trace", "from_node", "source_fn_stack"):
                node.meta.pop(trace, None)
    torch.export.save(program, path)
    return path


def _nested(model: TorchModel, shapes: tuple[dict[int, object], ...]) -> object:
    """A module that takes `*tensors` has a single argument: the tuple of them."""
    return (shapes,) if isinstance(model.module, ByPlace) else shapes
