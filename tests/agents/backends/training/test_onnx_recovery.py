"""Recovery training of ONNX files: what is rebuilt, what is learned, what stays as it is, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from apps.agents.backends.torch.onnx_graph.module import GraphModule
from apps.agents.backends.torch.onnx_graph.weights import write_weights
from apps.agents.backends.torch.placing import place
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.errors.training import ModelNotTrainable, OperatorNotRebuilt, TrainingPartMissing
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, agent_for
from apps.agents.techniques.training import trainer
from tests.agents.told import Killed, Killing, Told
from tests.agents.torch_models import Convolutional
from tests.agents.training_lessons import EXAMPLES, pictures
from tests.agents.workshop import CLASSIFICATION, DEPTHWISE, FASHION, RESNET, Workshop

LABELLED = DatasetSpec(kind="npz", task="classification", training_share=0.5)
SHORT: dict[str, Any] = {"steps": 40, "batch_size": 16, "learning_rate": 0.02, "distill": 0.0}
CLOSE = 1e-4
Arrays = dict[str, NDArray[Any]]


def exported(module: nn.Module, path: Path, example: torch.Tensor, *, fold: bool = True) -> Path:
    """Without folding, batch norms stay operators."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(module.eval(), (example,), dynamo=True, dynamic_shapes=shapes, optimize=fold)
    assert program is not None
    program.save(str(path))
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    return exported(Convolutional(), folder / "model.onnx", torch.zeros(2, 3, 8, 8), fold=False)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def examples(shop: Workshop) -> Path:
    return shop.examples(x=pictures(), y=np.arange(EXAMPLES) % 5)


def graph_of(file: Path) -> onnx.ModelProto:
    return onnx.load(str(file))


def stored(file: Path) -> Arrays:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph_of(file).graph.initializer}


def farthest(file: Path, feeds: Arrays, scratch: Path, *, train: bool = False) -> float:
    """The largest difference to ONNX Runtime as a share of the largest output."""
    wanted = open_engine("onnx", file, scratch).session(Target(threads=1))(feeds)
    module = GraphModule(graph_of(file)).train(train)
    for norm in module.norms.values():
        norm.eval()
    with torch.no_grad():
        given = module(**{name: torch.from_numpy(array) for name, array in feeds.items()}).values()
    return max(
        float(np.abs(found.numpy() - one).max() / np.abs(one).max()) for one, found in zip(wanted, given, strict=True)
    )


# --- what is rebuilt --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [RESNET, DEPTHWISE], ids=["resnet", "depthwise"])
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
def test_the_sample_networks_compute_what_onnx_runtime_does(file: Path, tmp_path: Path, train: bool) -> None:
    images = np.load(FASHION)["image"][:16].astype(np.float32)
    assert farthest(file, {"image": images}, tmp_path, train=train) < CLOSE
    module = GraphModule(graph_of(file))
    weights = sum(weight.numel() for weight in module.parameters())
    assert weights == sum(array.size for array in stored(file).values() if array.dtype == np.float32 and array.ndim)


class Transformer(nn.Module):
    """Reads tokens with causal attention."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.positions = nn.Parameter(torch.randn(1, 12, 16))
        self.register_buffer("mask", torch.triu(torch.full((12, 12), -1e9), 1))
        self.norm, self.last = nn.LayerNorm(16), nn.LayerNorm(16)
        self.projected, self.returned = nn.Linear(16, 48), nn.Linear(16, 16)
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 20)
        for number in self.parameters():  # The exporter stores equal tensors once.
            nn.init.normal_(number)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows = self.table(ids) + self.positions[:, : ids.shape[1]]
        heads = [one.reshape(-1, 12, 2, 8).transpose(1, 2) for one in self.projected(self.norm(rows)).chunk(3, dim=-1)]
        seen = nn.functional.scaled_dot_product_attention(*heads, attn_mask=self.mask)
        rows = rows + self.returned(seen.transpose(1, 2).reshape(-1, 12, 16))
        rows = rows + self.narrow(nn.functional.gelu(self.wide(self.last(rows))))
        return self.head(rows)  # type: ignore[no-any-return]


def test_a_transformer_computes_what_onnx_runtime_does_and_its_mask_is_no_weight(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, ids = Transformer(), torch.randint(0, 20, (3, 12))
    file = exported(module, tmp_path / "model.onnx", ids)
    (name,) = (one.name for one in graph_of(file).graph.input)
    assert farthest(file, {name: ids.numpy()}, tmp_path) < CLOSE
    weights = sum(weight.numel() for weight in GraphModule(graph_of(file)).parameters())
    assert weights == sum(weight.numel() for weight in module.parameters())


def test_on_another_device_only_shapes_stay_on_the_cpu(tmp_path: Path, network: Path) -> None:
    """PyTorch's device without memory refuses other devices' tensors as CUDA does."""
    tokens = exported(Transformer(), tmp_path / "model.onnx", torch.zeros(3, 12, dtype=torch.int64))
    feeds = ((tokens, torch.zeros(2, 12, dtype=torch.int64)), (network, torch.zeros(2, 3, 8, 8)))
    for file, given in (*feeds, (RESNET, torch.zeros(2, 1, 28, 28)), (DEPTHWISE, torch.zeros(2, 1, 28, 28))):
        proto = graph_of(file)
        module = place(GraphModule(proto), "meta")
        (made,) = module(**{proto.graph.input[0].name: given.to("meta")}).values()
        assert made.device.type == "meta"
        assert len(made) == 2


def test_a_table_that_is_also_the_head_is_one_parameter() -> None:
    table = numpy_helper.from_array(np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32), "table")
    nodes = [
        onnx.helper.make_node("Gather", ["table", "ids"], ["rows"]),
        onnx.helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        onnx.helper.make_node("MatMul", ["rows", "turned"], ["y"]),
    ]
    ids = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 20])
    module = GraphModule(onnx.helper.make_model(onnx.helper.make_graph(nodes, "graph", [ids], [y], [table])))
    assert list(module.places) == ["table"]
    module.train().requires_grad_(True)
    module(ids=torch.tensor([0, 1, 1]))["y"][:, 2].sum().backward()
    (weight,) = module.parameters()
    assert weight.grad is not None
    assert (weight.grad.abs().sum(1) > 0).nonzero().flatten().tolist() == [0, 1, 2]


def test_without_a_step_the_same_graph_is_written_to_the_byte(network: Path) -> None:
    for file in (RESNET, network):
        proto = graph_of(file)
        before = proto.SerializeToString(deterministic=True)
        assert write_weights(proto.graph, GraphModule(proto).values()) == 0
        assert proto.SerializeToString(deterministic=True) == before


# --- what is learned --------------------------------------------------------------------------------------------------


def test_a_network_learns_and_everything_but_its_weights_stays(shop: Workshop, network: Path, examples: Path) -> None:
    made = shop.apply("onnx-recover", network, examples, LABELLED, **SHORT)
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.7 * evidence["held_out_loss_before"]
    assert made.result.parameters["steps"] == 40
    before, after = graph_of(network), graph_of(made.artifact)
    values = zip(before.graph.initializer, after.graph.initializer, strict=True)
    for one, other in values:
        assert (one.name, one.dims, one.data_type) == (other.name, other.dims, other.data_type)
        other.CopyFrom(one)
    assert after == before


def test_steps_compute_in_bfloat16_if_they_are_asked_to(shop: Workshop, network: Path, examples: Path) -> None:
    mixed, exact = (
        shop.apply("onnx-recover", network, examples, LABELLED, **SHORT, precision=precision).result.evidence
        for precision in ("bfloat16", "float32")
    )
    assert mixed["held_out_loss_before"] == exact["held_out_loss_before"]
    assert mixed["held_out_loss_after"] == pytest.approx(exact["held_out_loss_after"], rel=0.1)
    assert mixed["held_out_loss_after"] != exact["held_out_loss_after"]


def test_batch_norms_learn_their_statistics(shop: Workshop, network: Path, examples: Path) -> None:
    (norm,) = (node for node in graph_of(network).graph.node if node.op_type == "BatchNormalization")
    made = shop.apply("onnx-recover", network, examples, LABELLED, **SHORT)
    before, after = stored(network), stored(made.artifact)
    assert all(np.any(before[name] != after[name]) for name in norm.input[1:])


def test_the_same_seed_and_steps_give_the_same_file(shop: Workshop, network: Path, examples: Path) -> None:
    first, second = (shop.apply("onnx-recover", network, examples, LABELLED, **SHORT) for _ in range(2))
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


def taught_by(assignment: Assignment, original: Path) -> Assignment:
    return replace(assignment, further_inputs={"teacher": ModelFile(format="onnx", path=original)})


def test_a_pruned_sample_comes_closer_to_its_labels_and_its_original(shop: Workshop) -> None:
    cut = shop.apply("onnx-prune", DEPTHWISE, macs_removed=0.5, compensate=False, allocation="uniform", importance="l2")
    assignment = shop.assignment("onnx-recover", cut.artifact, FASHION, LABELLED, steps=60, learning_rate=0.002)
    evidence = shop.run(taught_by(assignment, DEPTHWISE)).result.evidence
    assert evidence["held_out_loss_after"] < 0.5 * evidence["held_out_loss_before"]
    assert evidence["device"] in ("cpu", "cuda")


def test_external_data_is_read_and_the_artifact_is_whole(shop: Workshop, network: Path, examples: Path) -> None:
    folder = shop.root / "outside"
    folder.mkdir()
    onnx.save(graph_of(network), str(folder / "model.onnx"), save_as_external_data=True, size_threshold=0)
    with ZipFile(shop.root / "model.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    made = shop.apply("onnx-recover", shop.root / "model.zip", examples, LABELLED, **SHORT)
    whole = shop.apply("onnx-recover", network, examples, LABELLED, **SHORT)
    for name, array in stored(made.artifact).items():
        np.testing.assert_array_equal(array, stored(whole.artifact)[name])


def sparse(file: Path, out: Path) -> Path:
    """Half of the numbers of every convolution's weight are zero."""
    proto = graph_of(file)
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.ndim == 4:
            array[np.abs(array) < np.median(np.abs(array))] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, str(out))
    return out


def test_zeros_stay_zeros_if_they_are_asked_to(shop: Workshop, network: Path, examples: Path) -> None:
    file = sparse(network, shop.root / "sparse.onnx")
    kept = shop.apply("onnx-recover", file, examples, LABELLED, **SHORT)
    filled = shop.apply("onnx-recover", file, examples, LABELLED, **SHORT, keep_zeros=False)
    before, after, without = stored(file), stored(kept.artifact), stored(filled.artifact)
    zeros = {name: array == 0 for name, array in before.items() if array.ndim == 4}
    assert kept.result.evidence["zeros_kept"] == sum(int(where.sum()) for where in zeros.values()) > 0
    assert all((after[name][where] == 0).all() for name, where in zeros.items())
    assert any((without[name][where] != 0).any() for name, where in zeros.items())


def test_a_killed_training_continues_to_the_same_file(
    shop: Workshop, network: Path, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", 0.0)
    recipe = {**SHORT, "distill": 0.5}
    original = sparse(network, shop.root / "other.onnx")

    def trained() -> bytes:
        assignment = shop.assignment("onnx-recover", network, examples, LABELLED, **recipe)
        return shop.run(taught_by(assignment, original)).artifact.read_bytes()

    whole = trained()
    shop.told = killing = Killing()
    with pytest.raises(Killed):
        trained()
    kept = shop.root / "kept.pt"
    kept.write_bytes(killing.kept[-1])
    shop.told = Told(checkpoint=kept)
    assert trained() == whole
    assert any("continues at step" in line for line in shop.told.lines)


@pytest.mark.gpu
def test_on_cuda_it_learns_in_bfloat16_and_gives_the_same_file_again(
    shop: Workshop, network: Path, examples: Path
) -> None:
    first, second = (shop.apply("onnx-recover", network, examples, LABELLED, **SHORT) for _ in range(2))
    evidence = first.result.evidence
    assert (evidence["device"], evidence["precision"]) == ("cuda", "bfloat16")
    assert evidence["held_out_loss_after"] < 0.7 * evidence["held_out_loss_before"]
    assert first.artifact.read_bytes() == second.artifact.read_bytes()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_the_original_has_nothing_to_learn_from_itself_alone(shop: Workshop, network: Path, examples: Path) -> None:
    with pytest.raises(TechniqueNoEffect):
        shop.apply("onnx-recover", network, examples, LABELLED, **{**SHORT, "distill": 1.0})


def test_a_data_set_that_sets_nothing_apart_is_refused_before_any_work(
    shop: Workshop, network: Path, examples: Path
) -> None:
    assignment = shop.assignment("onnx-recover", network, examples, CLASSIFICATION)
    with pytest.raises(TrainingPartMissing):
        agent_for(assignment.spec).check(assignment, shop.told)


def in_halves(file: Path, out: Path) -> Path:
    """Weights in float16, cast before they are used."""
    proto = graph_of(file)
    casts = []
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}/half"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.save(proto, str(out))
    return out


def test_weights_in_halves_are_refused(shop: Workshop, network: Path, examples: Path) -> None:
    file = in_halves(exported(Head(), shop.root / "head.onnx", torch.zeros(2, 3, 8, 8)), shop.root / "halves.onnx")
    with pytest.raises(ModelNotTrainable, match="no float parameters") as refused:
        shop.apply("onnx-recover", file, examples, LABELLED)
    assert refused.value.code == "training.model_not_trainable"


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_an_operator_without_a_counterpart_is_refused_by_name(shop: Workshop, network: Path, examples: Path) -> None:
    proto = graph_of(network)
    (source,) = (one.name for one in proto.graph.output)
    for node in proto.graph.node:
        node.output[:] = ["inner" if name == source else name for name in node.output]
    proto.graph.node.append(onnx.helper.make_node("Round", ["inner"], [source], name="last/Round"))
    onnx.save(proto, str(shop.root / "rounded.onnx"))
    with pytest.raises(OperatorNotRebuilt, match="Round at last/Round cannot be rebuilt in PyTorch") as refused:
        shop.apply("onnx-recover", shop.root / "rounded.onnx", examples, LABELLED)
    assert refused.value.code == "training.operator_not_rebuilt"
