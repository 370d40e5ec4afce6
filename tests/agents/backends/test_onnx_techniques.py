"""Every built-in technique on real small models: the effect, the fidelity, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.agents.backends.onnx import saving
from apps.agents.backends.onnx.graph import library_words
from apps.agents.backends.onnx.quantization import StaticQuantization
from apps.agents.backends.onnx.technique import flatten_biases, split_gemms
from apps.agents.contracts.errors.techniques import (
    TechniqueLibraryFailed,
    TechniqueNoEffect,
    TechniqueNotApplicable,
    TechniqueParameters,
)
from apps.agents.files import onnx_files
from apps.agents.techniques.base import Assignment, Optimized
from tests.agents import graphs
from tests.agents.workshop import FIDELITY, RESNET, Workshop, loaded, operators, sqnr_db
from tests.sessions.machine import least_db

ROOT = Path(__file__).resolve().parents[3]
MOBILENET = ROOT / "samples" / "fashion_mobilenet.onnx"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two wide Gemms with biases of one row, as some exporters write them, and a product: 64 → 96 → 32 → 32."""
    random = graphs.rng()
    weights = {
        "w1": random.normal(size=(64, 96)).astype(np.float32),
        "b1": random.normal(size=(1, 96)).astype(np.float32),
        "w2": random.normal(size=(32, 96)).astype(np.float32),
        "b2": np.array([0.5], np.float32),
        "w3": random.normal(size=(32, 32)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["same"], name="relu"),
        helper.make_node("Identity", ["same"], ["r"], name="identity"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["g"], name="second", transB=1),
        helper.make_node("MatMul", ["g", "w3"], ["y"], name="third"),
    ]
    model = graphs.model_of(nodes, [graphs.value("x", "N", 64)], [graphs.value("y", "N", 32)], weights)
    return graphs.save(model, tmp_path / "network.onnx")


@pytest.fixture
def vectors(workshop: Workshop) -> Path:
    return workshop.examples(x=graphs.rng().normal(size=(128, 64)).astype(np.float32))


# --- graph ---------------------------------------------------------------------------------------------------------


def test_graph_optimization_folds_and_computes_the_same(workshop: Workshop, tmp_path: Path):
    random = graphs.rng()
    weights = {
        "w": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        **{name: random.uniform(0.5, 2, size=8).astype(np.float32) for name in ("scale", "bias", "mean", "var")},
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"], name="norm"),
        helper.make_node("Identity", ["n"], ["y"], name="identity"),
    ]
    proto = graphs.model_of(nodes, [graphs.value("x", "N", 3, 8, 8)], [graphs.value("y", "N", 8, 6, 6)], weights)
    examples = workshop.examples(x=random.normal(size=(64, 3, 8, 8)).astype(np.float32))
    made = workshop.apply("onnx-graph", graphs.save(proto, tmp_path / "norm.onnx"), examples, FIDELITY)
    assert operators(made) == {"Conv": 1}
    assert [entry.domain for entry in loaded(made).opset_import] == [""]
    assert sqnr_db(made) > 100


def test_graph_optimization_with_nothing_to_do_says_so(workshop: Workshop, tmp_path: Path):
    weights = {"w": np.ones((4, 4), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="only")]
    proto = graphs.model_of(nodes, [graphs.value("x", "N", 4)], [graphs.value("y", "N", 4)], weights)
    proto.producer_name = proto.producer_version = ""
    model = graphs.save(proto, tmp_path / "plain.onnx")
    examples = workshop.examples(x=np.ones((64, 4), np.float32))
    with pytest.raises(TechniqueNoEffect, match="cannot be simplified further"):
        workshop.apply("onnx-graph", model, examples, FIDELITY)


def test_transformer_fusions_need_a_transformer(workshop: Workshop):
    with pytest.raises(TechniqueNoEffect, match="transformer block that can be fused"):
        workshop.apply("onnx-graph", RESNET, transformer_fusions=True)


def test_transformer_fusions_make_fewer_operators_of_the_same_function(workshop: Workshop, tmp_path: Path):
    random = graphs.rng()
    weights = {"w": random.normal(size=(32, 32)).astype(np.float32), "g": np.ones(32, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("Add", ["m", "x"], ["s"], name="skip"),
        helper.make_node("LayerNormalization", ["s", "g", "g"], ["y"], name="norm"),
    ]
    inputs, outputs = [graphs.value("x", "N", 6, 32)], [graphs.value("y", "N", 6, 32)]
    model = graphs.save(graphs.model_of(nodes, inputs, outputs, weights), tmp_path / "block.onnx")
    examples = workshop.examples(x=random.normal(size=(64, 6, 32)).astype(np.float32))
    made = workshop.apply("onnx-graph", model, examples, FIDELITY, transformer_fusions=True)
    assert operators(made) == {"MatMul": 1, "SkipLayerNormalization": 1}
    assert sqnr_db(made) > 80


def test_comments_and_stack_traces_of_the_exporter_are_dropped(tmp_path: Path):
    proto = graphs.perceptron()
    proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/someone/model.py")
    proto.graph.doc_string = "made at noon"
    proto.metadata_props.add(key="names", value="cat,dog")
    saved = saving.save_artifact(proto, tmp_path)
    assert b"someone" not in saved.read_bytes()
    assert b"noon" not in saved.read_bytes()
    assert [entry.key for entry in onnx.load(str(saved)).metadata_props] == ["names"]


# --- static int8 -----------------------------------------------------------------------------------------------------


def test_static_int8_makes_the_resnet_nearly_four_times_smaller(workshop: Workshop):
    made = workshop.apply("onnx-static-int8", RESNET)
    assert made.result.input_size_bytes / made.result.size_bytes > 3.7
    assert workshop.told.metrics["predicted_size_ratio"] == pytest.approx(workshop.told.metrics["size_ratio"], rel=0.1)
    assert sqnr_db(made) > least_db(25)
    graph = loaded(made).graph
    weights = [tensor for tensor in graph.initializer if len(tensor.dims) >= 2]
    assert {tensor.data_type for tensor in weights} == {TensorProto.INT8}
    scales = {len(node.input) for node in graph.node if node.op_type == "DequantizeLinear"}
    assert scales == {3}


FULL = 127
SUM_BITS = 2**15


def largest_weights(made: Optimized) -> dict[bool, int]:
    """The largest magnitude of a stored int8 weight, in depthwise convolutions and elsewhere."""
    graph = loaded(made).graph
    found = {True: 0, False: 0}
    for tensor in graph.initializer:
        if len(tensor.dims) >= 2 and tensor.data_type == TensorProto.INT8:
            depthwise = len(tensor.dims) == 4 and tensor.dims[1] == 1 and tensor.dims[0] > 32
            largest = int(np.abs(numpy_helper.to_array(tensor).astype(int)).max())
            found[depthwise] = max(found[depthwise], largest)
    return found


@pytest.mark.parametrize("technique", ["onnx-static-int8", "onnx-dynamic-int8"])
def test_no_sum_of_two_products_overflows_16_bits_with_weights_in_7(workshop: Workshop, technique: str):
    made = workshop.apply(technique, RESNET, reduce_range=True)

    assert 2 * 255 * largest_weights(made)[False] < SUM_BITS
    assert sqnr_db(made) > 25  # On every processor.
    assert "processors without VNNI" in " ".join(made.result.checks)
    assert "VNNI" not in " ".join(workshop.apply(technique, RESNET).result.checks)


@pytest.mark.parametrize("per_channel", [True, False])
def test_depthwise_convolutions_keep_all_8_bits(workshop: Workshop, per_channel: bool):
    made = workshop.apply("onnx-static-int8", MOBILENET, reduce_range=True, per_channel=per_channel)

    found = largest_weights(made)
    assert 2 * 255 * found[False] < SUM_BITS
    assert found[True] == FULL
    assert sqnr_db(made) > (25 if per_channel else 10)


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_every_calibration_keeps_the_outputs_close(workshop: Workshop, network: Path, vectors: Path, method: str):
    made = workshop.apply("onnx-static-int8", network, vectors, FIDELITY, calibration=method, calibration_examples=24)
    assert sqnr_db(made) > least_db(20)


@pytest.mark.parametrize(
    ("activation", "weight", "found"),
    [("uint8", "uint8", TensorProto.UINT8), ("int8", "int8", TensorProto.INT8), ("uint16", "int8", TensorProto.INT8)],
)
def test_number_types_are_those_asked_for(
    workshop: Workshop, network: Path, vectors: Path, activation: str, weight: str, found: int
):
    made = workshop.apply(
        "onnx-static-int8",
        network,
        vectors,
        FIDELITY,
        activation_type=activation,
        weight_type=weight,
        per_channel=False,
    )
    assert {tensor.data_type for tensor in loaded(made).graph.initializer if len(tensor.dims) == 2} == {found}
    assert sqnr_db(made) > least_db(20)


def test_types_that_do_not_go_together_are_refused_before_any_work(workshop: Workshop, network: Path, vectors: Path):
    with pytest.raises(TechniqueParameters, match="cannot be combined with"):
        workshop.apply("onnx-static-int8", network, vectors, FIDELITY, activation_type="int8", weight_type="uint8")


def test_named_nodes_and_operators_stay_in_float(workshop: Workshop, network: Path, vectors: Path):
    by_name = workshop.apply("onnx-static-int8", network, vectors, FIDELITY, keep_float_nodes=["first", "third"])
    floats = [
        t.name for t in loaded(by_name).graph.initializer if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT
    ]
    assert sorted(floats) == ["w1", "w3"]
    by_type = workshop.apply("onnx-static-int8", network, vectors, FIDELITY, keep_float_operators=["Gemm"])
    kinds = {t.name: t.data_type for t in loaded(by_type).graph.initializer if len(t.dims) == 2}
    assert sorted(kinds.values()) == [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT8]


def test_a_node_that_is_not_there_cannot_stay_in_float(workshop: Workshop, network: Path, vectors: Path):
    with pytest.raises(TechniqueParameters, match="not have the nodes nowhere"):
        workshop.apply("onnx-static-int8", network, vectors, FIDELITY, keep_float_nodes=["nowhere"])


def test_an_operator_that_cannot_be_quantized_is_told(workshop: Workshop, network: Path, vectors: Path):
    with pytest.raises(TechniqueParameters, match="FlyingCarpet"):
        workshop.apply("onnx-static-int8", network, vectors, FIDELITY, operators=["FlyingCarpet"])


def test_a_quantization_that_reaches_no_weight_is_refused(workshop: Workshop, network: Path, vectors: Path):
    with pytest.raises(TechniqueNotApplicable, match="none of its weights"):
        workshop.apply("onnx-static-int8", network, vectors, FIDELITY, keep_float_operators=["Gemm", "MatMul"])


def test_a_quantization_without_effect_is_no_success(workshop: Workshop, network: Path, vectors: Path):
    proto = onnx.load(str(network))
    proto.graph.node.append(helper.make_node("Softmax", ["y"], ["p"], name="softmax"))
    model = graphs.save(proto, workshop.root / "more.onnx")

    class Silent(StaticQuantization):
        """Says that it reaches what it then does not."""

        def reached(self, assignment: Assignment) -> frozenset[str]:
            return self.operators

    assignment = workshop.assignment("onnx-static-int8", model, vectors, FIDELITY, operators=["Softmax"])
    with pytest.raises(TechniqueNoEffect, match="the weights take"):
        workshop.run(assignment, Silent())
    assert list(assignment.out.iterdir()) == []
    with pytest.raises(TechniqueNotApplicable, match="none of its weights"):
        workshop.apply("onnx-static-int8", model, vectors, FIDELITY, operators=["Softmax"])


def test_old_operator_sets_are_raised_for_scales_per_channel(workshop: Workshop, tmp_path: Path):
    model = graphs.save(graphs.perceptron(opset=11), tmp_path / "old.onnx")
    examples = workshop.examples(x=graphs.rng().normal(size=(64, 4)).astype(np.float32))
    assignment = workshop.assignment("onnx-static-int8", model, examples, FIDELITY)
    try:
        made = workshop.run(assignment)
    except TechniqueNoEffect:  # So small a model may grow; that it works at all is what counts here.
        return
    assert next(entry.version for entry in loaded(made).opset_import if entry.domain == "") >= 13


# --- dynamic int8 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", ["int8", "uint8"])
def test_dynamic_int8_reaches_every_product(workshop: Workshop, network: Path, vectors: Path, weight: str):
    made = workshop.apply("onnx-dynamic-int8", network, vectors, FIDELITY, weight_type=weight)
    assert operators(made)["MatMulInteger"] == 3
    assert made.result.input_size_bytes / made.result.size_bytes > 3
    assert sqnr_db(made) > least_db(25)


def test_dynamic_int8_leaves_named_nodes_and_operators_alone(workshop: Workshop, network: Path, vectors: Path):
    by_name = workshop.apply("onnx-dynamic-int8", network, vectors, FIDELITY, keep_float_nodes=["second", "third"])
    assert operators(by_name)["MatMulInteger"] == 1
    by_type = workshop.apply("onnx-dynamic-int8", network, vectors, FIDELITY, keep_float_operators=["Gemm"])
    assert operators(by_type)["MatMulInteger"] == 1


# --- weights only ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "ratio", "lowest_db"), [(4, 4.5, 12), (8, 3.0, 35)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_blocks_reach_every_product(
    workshop: Workshop, network: Path, vectors: Path, bits: int, ratio: float, lowest_db: float, symmetric: bool
):
    made = workshop.apply("onnx-weight-only", network, vectors, FIDELITY, bits=bits, symmetric=symmetric)
    assert operators(made)["MatMulNBits"] == 3
    assert made.result.input_size_bytes / made.result.size_bytes > ratio
    assert sqnr_db(made) > lowest_db


def test_blocks_leave_named_nodes_alone(workshop: Workshop, network: Path, vectors: Path):
    made = workshop.apply("onnx-weight-only", network, vectors, FIDELITY, keep_float_nodes=["first", "third"])
    assert operators(made) == {"Gemm": 1, "Relu": 1, "MatMulNBits": 1, "Add": 1, "MatMul": 1}


def test_tables_are_packed_when_asked_for(workshop: Workshop, tmp_path: Path):
    table = graphs.rng().normal(size=(200, 64)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"], name="lookup")]
    ids = graphs.value("ids", "N", 3, dtype=TensorProto.INT64)
    proto = graphs.model_of(nodes, [ids], [graphs.value("y", "N", 3, 64)], {"table": table})
    model = graphs.save(proto, tmp_path / "table.onnx")
    examples = workshop.examples(ids=graphs.rng().integers(0, 200, (64, 3)))
    made = workshop.apply("onnx-weight-only", model, examples, FIDELITY, embeddings=True)
    assert operators(made) == {"GatherBlockQuantized": 1}
    assert made.result.input_size_bytes / made.result.size_bytes > 5
    assert sqnr_db(made) > 15
    assert [entry.version for entry in loaded(made).opset_import if entry.domain == ""] == [graphs.OPSET]
    with pytest.raises(TechniqueParameters, match="only be stored in 4 bits"):
        workshop.apply("onnx-weight-only", model, examples, FIDELITY, embeddings=True, bits=8)
    with pytest.raises(TechniqueNotApplicable):
        workshop.apply("onnx-weight-only", model, examples, FIDELITY)


# --- float16 ---------------------------------------------------------------------------------------------------------


def test_float16_halves_the_file_and_keeps_inputs_and_outputs(workshop: Workshop):
    made = workshop.apply("onnx-float16", RESNET)
    assert 1.9 < made.result.input_size_bytes / made.result.size_bytes < 2.1
    assert sqnr_db(made) > 50
    graph = loaded(made).graph
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {TensorProto.FLOAT}


def test_float16_leaves_named_nodes_alone(workshop: Workshop, network: Path, vectors: Path):
    made = workshop.apply("onnx-float16", network, vectors, FIDELITY, keep_float_nodes=["first"])
    kinds = {tensor.name: tensor.data_type for tensor in loaded(made).graph.initializer if len(tensor.dims) == 2}
    assert kinds["w1"] == TensorProto.FLOAT
    assert kinds["w3"] == TensorProto.FLOAT16


# --- what all share --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "technique", ["onnx-graph", "onnx-static-int8", "onnx-dynamic-int8", "onnx-weight-only", "onnx-float16"]
)
def test_the_same_work_gives_the_same_bytes(workshop: Workshop, network: Path, vectors: Path, technique: str):
    first, second = (workshop.apply(technique, network, vectors, FIDELITY) for _ in range(2))
    assert first.result.digest == second.result.digest


DIGEST = """
import sys
from pathlib import Path
from tests.agents.workshop import FIDELITY, Workshop
folder, model, examples = (Path(argument) for argument in sys.argv[1:])
print(Workshop(folder).apply("onnx-static-int8", model, examples, FIDELITY).result.digest)
"""


def test_the_order_of_sets_does_not_show_in_the_bytes(workshop: Workshop, network: Path, vectors: Path, tmp_path: Path):
    """Python orders sets of strings anew in every process; libraries walk through such sets."""
    digests = set()
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, str(tmp_path / seed), str(network), str(vectors)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.split()[-1])
    assert len(digests) == 1


def test_a_model_too_large_for_one_file_becomes_a_zip(
    workshop: Workshop, network: Path, vectors: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(onnx_files, "EXTERNAL_ABOVE_BYTES", 1000)
    made = workshop.apply("onnx-static-int8", network, vectors, FIDELITY)
    assert made.artifact.name == "model.zip"
    with zipfile.ZipFile(made.artifact) as archive:
        assert archive.namelist() == ["model.onnx", "model.onnx.data"]
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
    again = workshop.apply("onnx-static-int8", network, vectors, FIDELITY)
    assert again.result.digest == made.result.digest
    assert list(made.artifact.parent.iterdir()) == [made.artifact]


def test_a_zip_goes_in_as_well(workshop: Workshop, network: Path, vectors: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(onnx_files, "EXTERNAL_ABOVE_BYTES", 1000)
        prepared = workshop.apply("onnx-graph", network, vectors, FIDELITY)
    assert prepared.artifact.suffix == ".zip"
    for technique in ("onnx-static-int8", "onnx-dynamic-int8", "onnx-weight-only", "onnx-float16"):
        made = workshop.apply(technique, prepared.artifact, vectors, FIDELITY)
        assert made.result.input_size_bytes > 1.8 * made.result.size_bytes


def test_a_librarys_crash_is_an_expected_failure_in_its_own_words():
    with pytest.raises(TechniqueLibraryFailed, match="IndexError: list index out of range") as caught:
        with library_words("Static int8"):
            [][1]
    assert caught.value.code == "technique.library_failed"


# --- rewriting -------------------------------------------------------------------------------------------------------


def test_biases_are_flattened_unless_they_have_several_rows(network: Path, tmp_path: Path):
    proto = onnx.load(str(network))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((2, 32), np.float32), "rows"))
    proto.graph.node.append(helper.make_node("Gemm", ["g", "w3", "rows"], ["z"], name="odd"))
    assert flatten_biases(proto, tmp_path) == ["odd"]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    by_name = {node.name: node for node in proto.graph.node}
    assert stored[by_name["first"].input[2]].shape == (96,)
    assert stored[by_name["second"].input[2]].tolist() == [0.5] * 32
    assert by_name["odd"].input[2] == "rows"


def test_gemms_are_split_only_where_that_means_the_same(network: Path, tmp_path: Path):
    proto = onnx.load(str(network))
    proto.graph.node[3].attribute.append(helper.make_attribute("alpha", 2.0))
    split_gemms(proto, keep=[], folder=tmp_path)
    assert [node.op_type for node in proto.graph.node] == ["MatMul", "Add", "Relu", "Identity", "Gemm", "MatMul"]
    assert proto.graph.node[0].name == "first"
    onnx.checker.check_model(proto)
