"""TorchScript programs with positional outputs, the only form that the exporter to ONNX can read."""

from __future__ import annotations

from typing import Any

import torch

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.tracing import ByPlace

_BUILT, _CHANGED, _READ = "prim::DictConstruct", "aten::_set_item", "aten::__getitem__"


def flat(model: TorchModel, examples: tuple[torch.Tensor, ...]) -> Any:
    """The model's own program if it returns a tensor or tuples of them, otherwise one that does.

    The program's loops and branches are kept: only its surroundings are traced, on `examples`.
    """
    if _by_place(model.module(*examples)):
        return model.module
    traced = torch.jit.trace(ByPlace(model).eval(), examples, check_trace=False)
    # Like the exporter: one graph of all modules in which weights stay weights. `torch.jit.freeze` would make them
    # constants.
    whole = torch.jit.RecursiveScriptModule._construct(
        torch._C._freeze_module(traced._c, preserveParameters=True), lambda module: None
    )
    _take_mappings_apart(whole.graph)
    return whole


def _by_place(result: object) -> bool:
    if isinstance(result, tuple):
        return all(map(_by_place, result))
    return isinstance(result, torch.Tensor)


def _take_mappings_apart(graph: torch.Graph) -> None:
    """Let nodes that read an entry of a mapping read the stored value directly.

    A mapping that is filled in a loop or a branch stays, and the exporter reports it.
    """
    held: dict[str, dict[object, torch.Value]] = {}
    done = []
    for node in list(graph.nodes()):
        given = list(node.inputs())
        mapping = held.get(given[0].debugName()) if given else None
        if node.kind() == _BUILT:
            keys, values = given[::2], given[1::2]
            held[node.output().debugName()] = {key.toIValue(): value for key, value in zip(keys, values, strict=True)}
        elif node.kind() == _CHANGED and mapping is not None:
            mapping[given[1].toIValue()] = given[2]
        elif node.kind() == _READ and mapping is not None:
            node.output().replaceAllUsesWith(mapping[given[1].toIValue()])
        else:
            continue
        done.append(node)
    for node in reversed(done):
        if not any(output.uses() for output in node.outputs()):
            node.destroy()
