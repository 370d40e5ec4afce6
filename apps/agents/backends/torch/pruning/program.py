"""The model to be cut as a graph of modules, whatever its format, by way of an exported program."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import fx

from apps.agents.backends.torch.exported import save_exported
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.training.module import Named, check_same, trainable
from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.contracts.formats import Format
from apps.agents.measuring.engine import Feeds

_VIEWS = (torch.ops.aten.view.default, torch.ops.aten.reshape.default, torch.ops.aten._unsafe_view.default)


def to_cut(model: TorchModel, feeds: Feeds, scratch: Path, label: str) -> TorchModel:
    """`model` as modules that can be cut, in the format of an exported program. Checked to compute the same on `feeds`.

    Raises `TechniqueLibraryFailed` if it cannot be exported, and `ModelNotTrainable` if its weights are not floats.
    """
    program = model if model.format is Format.TORCH_EXPORT else _exported(model, scratch, label)
    made = trainable(program, label)
    for part in made.module.modules():
        if isinstance(part, fx.GraphModule):
            _free_lengths(part)
            _let_go_of_doubles(part)
    check_same(model, made, feeds, label)
    return made


def _exported(model: TorchModel, scratch: Path, label: str) -> TorchModel:
    with tempfile.TemporaryDirectory(dir=scratch, prefix="program-") as folder:
        try:
            path = save_exported(replace(model, module=Named(model)), Path(folder) / "model.pt2")
        except Exception as error:  # The exporter raises exceptions of any kind.
            reason = f"it cannot be exported: {' '.join(str(error).split())[:300].rstrip('. ')}"
            raise TechniqueLibraryFailed(technique=label, reason=reason) from error
        return load_model(path, scratch)


def _free_lengths(graph_module: fx.GraphModule) -> None:
    """Allow flattened rows to have another length than at the export: `view(x, [batch, 128])`."""
    for node in graph_module.graph.nodes:
        if node.op != "call_function" or node.target not in _VIEWS or not isinstance(node.args[1], list | tuple):
            continue
        sizes = list(node.args[1])
        fixed = [place for place, size in enumerate(sizes) if isinstance(size, int)]
        if len(fixed) == 1 and sizes[fixed[0]] != -1:
            sizes[fixed[0]] = -1
            node.args = (node.args[0], sizes)
    graph_module.recompile()


def _let_go_of_doubles(graph_module: fx.GraphModule) -> None:
    """Remove weights of rebuilt layers from the places where the program had them, so that each has one name.

    PyTorch's attention has the weights of three layers beside its own parts, where no layer can be put.
    """
    called = {str(node.target) for node in graph_module.graph.nodes if node.op == "call_module"}
    read = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    held = {id(weight) for name in called for weight in graph_module.get_submodule(name).parameters()}
    for name, part in graph_module.named_modules():
        if any(name == one or name.startswith(f"{one}.") for one in called):
            continue
        for own, weight in list(part._parameters.items()):
            if weight is not None and id(weight) in held and (f"{name}.{own}" if name else own) not in read:
                del part._parameters[own]
