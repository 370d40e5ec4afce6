"""Weight clustering of ONNX and PyTorch models: how many values there are, what is lost, what a download takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.techniques import (
    TechniqueNothingToCluster,
    TechniqueParameters,
    TechniqueQuantizedModel,
)
from apps.agents.files.compressed_size import compressed_bytes
from apps.agents.measuring.engine import open_engine
from tests.agents.backends.pruning.test_torch_prune import exported
from tests.agents.training_lessons import pictures
from tests.agents.workshop import DEPTHWISE, FASHION, FIDELITY, Workshop, sqnr_db

ONNX = "onnx-clustering"


def weights_of(model: Path) -> dict[str, np.ndarray]:
    """The float weights of two axes or more."""
    stored = {one.name: numpy_helper.to_array(one) for one in onnx.load(model).graph.initializer}
    return {name: array for name, array in stored.items() if array.ndim > 1 and array.dtype.kind == "f"}


def accuracy(model: Path, folder: Path, examples: int = 300) -> float:
    data = np.load(FASHION)
    session = open_engine("onnx", model, folder).session(Target())
    found = np.concatenate(
        [session({"image": data["image"][at : at + 50].astype(np.float32)})[0] for at in range(0, examples, 50)]
    )
    return float(100 * (found.argmax(1) == data["y"][:examples]).mean())


def test_each_tensor_has_as_many_values_as_clusters_and_the_download_shrinks(tmp_path: Path) -> None:
    made = Workshop(tmp_path).apply(ONNX, DEPTHWISE, clusters=16)
    before, after = weights_of(DEPTHWISE), weights_of(made.artifact)
    assert before.keys() == after.keys()
    assert all(len(np.unique(array)) <= 16 for array in after.values())
    counted = {one["name"]: one["values"] for one in made.result.evidence["codebooks"]}
    assert counted == {name: len(np.unique(array)) for name, array in after.items()}
    assert f"share at most {max(counted.values())} values for each tensor" in made.result.checks[1]
    sizes = made.result.sizes
    assert sizes["dense"] == made.artifact.stat().st_size
    assert sizes["dense"] == pytest.approx(DEPTHWISE.stat().st_size, rel=0.01)
    assert compressed_bytes(DEPTHWISE) > 4.5 * min(sizes["deflate"], sizes["zstandard"])


def test_accuracy_stays_with_128_values(tmp_path: Path) -> None:
    made = Workshop(tmp_path).apply(ONNX, DEPTHWISE, clusters=128)
    assert accuracy(made.artifact, tmp_path) >= accuracy(DEPTHWISE, tmp_path) - 1
    assert sqnr_db(made) > 20


def test_the_same_clusters_give_the_same_bytes(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    digests = {workshop.apply(ONNX, DEPTHWISE, clusters=4).result.digest for _ in range(2)}
    assert len(digests) == 1


def test_a_layer_that_is_kept_keeps_its_weights(tmp_path: Path) -> None:
    node = next(one for one in onnx.load(DEPTHWISE).graph.node if one.op_type == "Conv")
    made = Workshop(tmp_path).apply(ONNX, DEPTHWISE, clusters=8, keep_float_nodes=[node.name])
    before, after = weights_of(DEPTHWISE), weights_of(made.artifact)
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {node.input[1]}


def test_an_unknown_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TechniqueParameters, match="no layer 'nowhere'"):
        Workshop(tmp_path).apply(ONNX, DEPTHWISE, keep_float_nodes=["nowhere"])


def test_a_quantized_model_is_refused(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    narrow = workshop.apply("onnx-dynamic-int8", DEPTHWISE).artifact
    with pytest.raises(TechniqueQuantizedModel):
        workshop.apply(ONNX, narrow)


def test_clustering_again_with_as_many_clusters_finds_nothing_to_do(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    once = workshop.apply(ONNX, DEPTHWISE, clusters=8).artifact
    with pytest.raises(TechniqueNothingToCluster, match="more than 8 values"):
        workshop.apply(ONNX, once, clusters=8)
    again = workshop.apply(ONNX, once, clusters=4)
    assert all(len(np.unique(array)) <= 4 for array in weights_of(again.artifact).values())


def test_constants_and_weights_inside_branches_are_clustered(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    outer, inner = (random.normal(size=(8, 8)).astype(np.float32) for _ in range(2))
    tensor = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["h", "inner"], ["b"], "in-branch")],
        "branch",
        [],
        [tensor("b", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(inner, "inner")],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["c"])], "other", [], [tensor("c", TensorProto.FLOAT, ["N", 8])]
    )
    nodes = [
        helper.make_node("Constant", [], ["outer"], "held", value=numpy_helper.from_array(outer)),
        helper.make_node("MatMul", ["x", "outer"], ["h"], "first"),
        helper.make_node("If", ["yes"], ["y"], "choice", then_branch=branch, else_branch=other),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x", TensorProto.FLOAT, ["N", 8])],
        [tensor("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(np.array(True), "yes")],
    )
    model = tmp_path / "branches.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), model)
    workshop = Workshop(tmp_path)
    made = workshop.apply(ONNX, model, workshop.examples(x=random.normal(size=(40, 8)).astype(np.float32)), FIDELITY)
    counted = {one["name"]: one["values"] for one in made.result.evidence["codebooks"]}
    assert counted.keys() == {"inner", "outer"}
    assert all(8 < values <= 16 for values in counted.values())


# --- PyTorch ----------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """Pictures [N, 3, 8, 8] to five numbers, with a norm between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3)
        self.norm = nn.BatchNorm2d(24)
        self.head = nn.Linear(24 * 36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.stem(x))).flatten(1))


@pytest.mark.parametrize("form", ["torch-export", "torchscript"])
def test_parameters_of_a_program_share_values(form: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    workshop = Workshop(tmp_path, form)
    if form == "torch-export":
        model = exported(Net().eval(), tmp_path / "model.pt2", (3, 8, 8))
    else:
        model = tmp_path / "model.pt"
        torch.jit.trace(Net().eval(), torch.zeros(2, 3, 8, 8)).save(model)
    made = workshop.apply("torch-clustering", model, workshop.examples(x=pictures()), FIDELITY, clusters=16)
    shared = dict(load_model(made.artifact, tmp_path).module.named_parameters())
    matrices = {name: weight for name, weight in shared.items() if weight.ndim > 1}
    assert len(matrices) == 2
    assert all(len(weight.unique()) <= 16 for weight in matrices.values())
    assert any(len(weight.unique()) > 16 for weight in shared.values() if weight.ndim == 1)
    assert min(made.result.sizes["deflate"], made.result.sizes["zstandard"]) < 0.75 * compressed_bytes(model)
    assert sqnr_db(made) > 15


def test_modules_that_are_kept_keep_their_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    workshop = Workshop(tmp_path, "torch-export")
    model = exported(Net().eval(), tmp_path / "model.pt2", (3, 8, 8))
    names = {name for name, _ in load_model(model, tmp_path).module.named_modules()}
    kept = "head" if "head" in names else next(name for name in names if name.endswith("head"))
    data = workshop.examples(x=pictures())
    made = workshop.apply("torch-clustering", model, data, FIDELITY, clusters=4, keep_float_nodes=[kept])
    assert [one["name"] for one in made.result.evidence["codebooks"]] == ["stem.weight"]
