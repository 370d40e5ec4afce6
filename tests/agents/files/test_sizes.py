"""A model's size is that of its weights and its program, whatever else its file holds, in every format."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.backends.onnx.inspection import inspect as inspect_onnx
from apps.agents.backends.torch.inspection import inspect
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.evaluation.plausibility import weight_bytes
from tests.agents.torch_uploads import LLAMA, folder_zip

PROGRAM_BYTES = 24_000
"""The most that the program of so small a network may take, in any format."""
BIG = torch.zeros(5000, 3, 16, 16)
"""Fifteen megabytes, of which networks are shown two pictures."""
Make = Callable[[nn.Module, Path], Path]


class Network(nn.Module):
    """Of a width, with the weights of two layers tied."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 3)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(self.convolution(x).mean((2, 3))))  # type: ignore[no-any-return]


def own_bytes(module: nn.Module) -> int:
    """Of every parameter and buffer, once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in [*module.parameters(), *module.buffers()])


def program(module: nn.Module, path: Path) -> Path:
    exported = torch.export.export(module, (BIG[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(exported, path.with_suffix(".pt2"))
    return path.with_suffix(".pt2")


def traced(module: nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.trace(module, BIG[:2]), str(path))
    return path


def scripted_views(module: nn.Module, path: Path) -> Path:
    """Weights that are parts of one storage, which is larger than they are."""
    weights = [*module.parameters()]
    room = torch.zeros(sum(weight.numel() for weight in weights) + 1_000_000)
    start = 0
    for weight in weights:
        room[start : start + weight.numel()] = weight.detach().flatten()
        weight.data = room[start : start + weight.numel()].view(weight.shape)
        start += weight.numel()
    torch.jit.save(torch.jit.script(module), str(path))
    return path


def frozen(module: nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.freeze(torch.jit.script(module)), str(path))
    return path


def described(module: nn.Module, path: Path, weights: object) -> Path:
    code = (
        "import torch\nfrom torch import nn\n\n\n"
        "class Network(nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.convolution = nn.Conv2d(3, width, 3)\n"
        "        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)\n"
        "        self.second.weight = self.first.weight\n\n"
        "    def forward(self, x):\n"
        "        return self.second(self.first(self.convolution(x).mean((2, 3))))\n"
    )
    width = module.first.out_features
    described = f'file = "model.py"\nfactory = "Network"\narguments = {{width = {width}}}\n'
    described += '[[input]]\nname = "x"\nshape = ["batch", 3, 16, 16]\n'
    torch.save(weights, path.with_name("weights.pt"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lathe.toml", described)
        archive.writestr("model.py", code)
        archive.write(path.with_name("weights.pt"), "weights.pt")
    return path


def checkpoint(module: nn.Module, path: Path) -> Path:
    """Beside an optimizer's state and an averaged copy."""
    moments = {"state": {0: {"exp_avg": BIG.clone()}}}
    copy = {name: tensor + 1 for name, tensor in module.state_dict().items()}
    return described(module, path, {"model": module.state_dict(), "optimizer": moments, "ema": copy})


def views(module: nn.Module, path: Path) -> Path:
    """Each weight a part of a larger storage of its own."""
    rooms = {name: torch.zeros(tensor.numel() + 500_000) for name, tensor in module.state_dict().items()}
    parts = {name: rooms[name][: tensor.numel()].view(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, tensor in module.state_dict().items():
        parts[name].copy_(tensor)
    parts["second.weight"] = parts["first.weight"]
    return described(module, path, parts)


@pytest.mark.parametrize("make", [program, traced, scripted_views, frozen, checkpoint, views])
@pytest.mark.parametrize("width", [4, 200])
def test_a_size_of_pytorch_is_that_of_weights_and_program(make: Make, width: int, tmp_path: Path) -> None:
    module = Network(width).eval()
    own = own_bytes(module)
    summary = inspect(make(module, tmp_path / "model"), tmp_path)
    assert own <= summary.size_bytes <= own + PROGRAM_BYTES
    assert weight_bytes(summary) == own


def tied_llama(folder: Path) -> LlamaForCausalLM:
    module = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval()
    module.save_pretrained(folder)
    return module


def test_a_folder_of_transformers_counts_a_tied_table_once(tmp_path: Path) -> None:
    module = tied_llama(tmp_path / "safe")
    safe = inspect(folder_zip(tmp_path / "safe", tmp_path / "safe.zip"), tmp_path)
    (tmp_path / "safe" / "model.safetensors").unlink()
    state = module.state_dict()
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= state.keys()
    torch.save(state, tmp_path / "safe" / "pytorch_model.bin")
    old = inspect(folder_zip(tmp_path / "safe", tmp_path / "old.zip"), tmp_path)
    for summary in (safe, old):
        assert weight_bytes(summary) == own_bytes(module) - sum(
            buffer.numel() * buffer.element_size() for buffer in module.buffers()
        )
        assert weight_bytes(summary) <= summary.size_bytes <= weight_bytes(summary) + PROGRAM_BYTES


def external(path: Path, width: int, beside: int, *, shared: bool) -> Path:
    """Two products whose weights stand in a file with `beside` bytes that no tensor refers to."""
    numbers = np.ones((width, width), np.float32)
    tensors = []
    for place, name in enumerate(("a", "b")):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=numbers.shape)
        tensor.data_location = TensorProto.EXTERNAL
        offset = 0 if shared else place * numbers.nbytes
        for key, value in (("location", "w.bin"), ("offset", offset), ("length", numbers.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    nodes = [helper.make_node("MatMul", pair, [pair[1] + "_"]) for pair in pairwise(["x", "a"])]
    nodes.append(helper.make_node("MatMul", ["a_", "b"], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.onnx", model.SerializeToString())
        archive.writestr("w.bin", numbers.tobytes() * 2 + bytes(beside))
    return path


@pytest.mark.parametrize("width", [4, 200])
def test_external_data_of_onnx_counts_where_a_tensor_refers_to_it(width: int, tmp_path: Path) -> None:
    own = 2 * 4 * width * width
    summary = inspect_onnx(external(tmp_path / "a.zip", width, 5_000_000, shared=False), tmp_path)
    assert own <= summary.size_bytes <= own + PROGRAM_BYTES
    once = inspect_onnx(external(tmp_path / "b.zip", width, 5_000_000, shared=True), tmp_path)
    assert own // 2 <= once.size_bytes <= own // 2 + PROGRAM_BYTES


def sizes(summary: ModelSummary) -> tuple[int, float]:
    return summary.size_bytes, weight_bytes(summary)


def test_a_plain_onnx_file_takes_what_it_takes(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, (64, 64), np.ones(64 * 64, np.float32).tobytes(), raw=True)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 64]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", ends[:1], ends[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "m.onnx")
    size_bytes, own = sizes(inspect_onnx(tmp_path / "m.onnx", tmp_path))
    assert own <= size_bytes <= own + 1000
