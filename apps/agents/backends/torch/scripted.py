"""TorchScript archives (`.pt`): a program with its weights.

The archive contains its inputs only if whoever saved it added an extra file `lathe.toml`. Otherwise they are derived
from the first layer that has weights. TorchScript can write and read files, so archives whose code does are refused
before anything in them is loaded.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from apps.agents.backends.torch import stored
from apps.agents.backends.torch.description import parse_interface
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.opening import DESCRIPTION
from apps.agents.backends.torch.probing import calling, found_outputs
from apps.agents.contracts.errors.models import ModelTruncated
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.torch_models import ScriptInterface, ScriptTouchesFiles
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.files.archives import DAMAGE

LONGEST_CODE_BYTES = 64 * 1024 * 1024
_GAP = rb"(?:[\s\\]|#[^\n]*\n)*"
"""What may separate two words of code without meaning."""
_FILES = re.compile(
    rb"\."
    + _GAP
    + rb"(save|load|from_file|read_file|write_file|decode_file|load_tensor|rpc_async|rpc_sync|rpc_remote)\b"
)
"""`torch.save`, `torch.from_file`, `ops.image.read_file` … in the archive's code. The object before the name is not
checked: `(torch).save` and `t = torch; t.save` mean the same to the compiler."""
_STORAGE = re.compile(r"(data|constants)/\d+")
_PROGRAM = re.compile(r"(data|constants)\.pkl|code/.*\.py")
"""The other files are the examples it was traced with, and the source location of each line."""
_OLD = "model.json"
"""In archives with this file, the loader takes code from files of any name."""
_UNCHANGED = frozenset(
    ("to", "sub", "add", "mul", "div", "rsub", "contiguous", "float", "type_as", "detach", "clone", "dropout", "relu")
)
"""Operators whose result has their first input's shape."""
_CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d", "_convolution"))


@dataclass(frozen=True)
class ScriptFile:
    path: Path

    @cached_property
    def summary(self) -> ModelSummary:
        """From the graph. Undeclared outputs are found by running it once."""
        inputs, outputs = self.interface
        return self._summary(outputs or found_outputs(calling(self.module), inputs))

    def load(self, device: str) -> TorchModel:
        """Raises `ScriptTouchesFiles`, `ScriptInterface`, `ModelNotLoadable`, `OutputsUnknown`."""
        summary = self.summary
        return TorchModel(self.module.to(device), Format.TORCHSCRIPT, summary, self.path.parent, positional=True)

    @cached_property
    def module(self) -> Any:
        self._check_harmless()
        try:
            return torch.jit.load(str(self.path), map_location="cpu").eval()
        except MemoryError:
            raise
        except Exception as error:  # The loader may raise anything for a broken archive.
            raise ModelNotLoadable(reason=" ".join(str(error).split())[:400].rstrip(". ")) from error

    @cached_property
    def interface(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs, and the declared outputs. Raises `ScriptInterface` and `DescriptionInvalid`."""
        content = self._extra(DESCRIPTION)
        if content is None:
            return read_off(self.module), ()
        interface = parse_interface(content)
        return interface.inputs, interface.outputs

    # --- parts -------------------------------------------------------------------------------------------------------

    def _summary(self, outputs: tuple[TensorSpec, ...]) -> ModelSummary:
        tensors = {**dict(_constants(self.module.inlined_graph)), **self.module.state_dict()}
        weights = stored.described(tensors)
        counts = stored.counted(weights)
        operators = Counter(_operators(self.module.inlined_graph))
        return ModelSummary(
            format=Format.TORCHSCRIPT,
            producer="TorchScript",
            opset=None,
            inputs=self.interface[0],
            outputs=outputs,
            parameters=sum(counts.values()),
            size_bytes=self._size_bytes(weights),
            operators=dict(sorted(operators.items())),
            weight_dtypes=counts,
            weights=stored.listed(weights),
        )

    def _size_bytes(self, weights: stored.Weights) -> int:
        """Size of weights and program. Tensors other than parameters and constants count with their whole storage."""
        reader = torch._C.PyTorchFileReader(str(self.path))
        sizes = {str(name): int(reader.get_record_size(name)) for name in reader.get_all_records()}
        storages = {one.place.storage: one.place.storage_bytes for one in weights.values() if one.place}
        kept = sum(size for name, size in sizes.items() if _STORAGE.fullmatch(name))
        program = sum(size for name, size in sizes.items() if _PROGRAM.fullmatch(name))
        return program + stored.size_bytes(weights) + max(0, kept - sum(storages.values()))

    def _check_harmless(self) -> None:
        """Uses the loader's own reader, which ignores the case of names and picks one of several duplicates."""
        try:
            reader = torch._C.PyTorchFileReader(str(self.path))
            names = [str(name) for name in reader.get_all_records()]
            if any(name.lower() == _OLD for name in names):
                raise ModelNotLoadable(reason="it was written by a very old PyTorch; save it again")
            for name in names:
                if name.lower().startswith("code/"):
                    _refuse_files(name, _code(reader, name))
        except RuntimeError as error:
            raise ModelTruncated(reason=f"the archive cannot be read ({str(error).splitlines()[0]})") from error

    def _extra(self, name: str) -> bytes | None:
        try:
            with zipfile.ZipFile(self.path) as archive:
                found = [info for info in archive.infolist() if info.filename.endswith(f"/extra/{name}")]
                return archive.read(found[0])[: 2**16] if found else None
        except DAMAGE as error:
            raise ModelTruncated(reason=f"the archive cannot be read ({error})") from error


def _code(reader: Any, name: str) -> bytes:
    size_bytes = int(reader.get_record_size(name))
    if size_bytes > LONGEST_CODE_BYTES:
        raise ModelNotLoadable(reason=f"its {name} has {size_bytes:,} bytes")
    return bytes(reader.get_record(name))


def _refuse_files(name: str, code: bytes) -> None:
    if found := _FILES.search(code):
        raise ScriptTouchesFiles(operator=found[1].decode(), file=name)


def read_off(module: Any) -> tuple[TensorSpec, ...]:
    """The input of a program with a single input, derived from the first layer with weights that it feeds.

    Raises `ScriptInterface` if there are several inputs, or another operator precedes that layer.
    """
    graph = module.inlined_graph
    inputs = list(graph.inputs())[1:]
    if len(inputs) != 1:
        raise ScriptInterface(reason=f"it has {len(inputs)} inputs")
    value = inputs[0]
    name = value.debugName().split(".")[0]
    while True:
        use = next(iter(value.uses()), None)
        kind = use.user.kind().removeprefix("aten::") if use else "nothing"
        if use and kind in _CONVOLUTIONS:
            return (_pictures(name, use.user, module),)
        if use and kind == "linear":
            return (TensorSpec(name=name, dtype="float32", shape=("batch", _shape(use.user, 1, module)[1])),)
        if use and kind == "embedding":
            return (TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")),)
        if not use or kind not in _UNCHANGED or next(use.user.inputs()).debugName() != value.debugName():
            raise ScriptInterface(reason=f"its input goes into {kind} first")
        value = use.user.output()


def _pictures(name: str, node: Any, module: Any) -> TensorSpec:
    weight = _shape(node, 1, module)
    groups = int(list(node.inputs())[8 if node.kind() == "aten::_convolution" else 6].toIValue())
    free = {3: ("length",), 4: ("height", "width"), 5: ("depth", "height", "width")}[len(weight)]
    return TensorSpec(name=name, dtype="float32", shape=("batch", weight[1] * groups, *free))


def _shape(node: Any, place: int, module: Any) -> tuple[int, ...]:
    """The shape of the weight at `place` of `node`: an attribute of the module's parts, or a constant."""
    value = list(node.inputs())[place]
    names: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        names.append(value.node().s("name"))
        value = next(value.node().inputs())
    found = value.toIValue() if not names else module
    for name in reversed(names):
        found = getattr(found, name)
    if not isinstance(found, torch.Tensor):
        raise ScriptInterface(reason="the first layer's weight is computed")
    return tuple(found.shape)


def _operators(block: Any) -> Iterator[str]:
    """Operators of a graph and its branches and loops, such as `aten.conv2d`."""
    for node in block.nodes():
        if not node.kind().startswith("prim::"):
            yield node.kind().replace("::", ".")
        for inner in node.blocks():
            yield from _operators(inner)


def _constants(block: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors in a graph and its branches and loops, where freezing puts the weights."""
    for node in block.nodes():
        if node.kind() == "prim::Constant" and isinstance(value := node.output().toIValue(), torch.Tensor):
            yield f"constant {node.output().debugName()}", value
        for inner in node.blocks():
            yield from _constants(inner)


def save_scripted(model: TorchModel, path: Path) -> Path:
    """Write a scripted `model` to `path`, including its interface."""
    ends = (("input", model.summary.inputs), ("output", model.summary.outputs))
    torch.jit.save(model.module, str(path), _extra_files={DESCRIPTION: "".join(_tables(ends)).encode()})
    return path


def _tables(ends: tuple[tuple[str, tuple[TensorSpec, ...]], ...]) -> Iterator[str]:
    for end, specs in ends:
        for spec in specs:
            named = (axis or f"{spec.name}_{index}" for index, axis in enumerate(spec.shape))
            axes = ", ".join(str(axis) if isinstance(axis, int) else f'"{axis}"' for axis in named)
            yield f'[[{end}]]\nname = "{spec.name}"\ndtype = "{spec.dtype}"\nshape = [{axes}]\n\n'
