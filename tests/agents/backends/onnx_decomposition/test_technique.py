"""Decomposition of ONNX models as a technique: what it replaces, what it leaves and why, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from apps.agents.backends.onnx.decomposition.layers import OnnxLayer
from apps.agents.backends.onnx.decomposition.timing import LayerTimer
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueNothingToDecompose,
    TechniqueParameters,
    TechniqueQuantizedModel,
    TechniqueWithoutCalibration,
)
from apps.agents.techniques.base import Optimized
from apps.agents.techniques.decomposition.factors import Factors
from tests.agents import graphs
from tests.agents.backends.onnx_pruning.nets import Net, outputs, pictures
from tests.agents.workshop import FIDELITY, Workshop, loaded, sqnr_db

UNTIMED = {"timed": False, "multiple_of": 1, "calibration_examples": 32}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


class LowRank(Net):
    """A graph whose weights have few singular values that are not zero."""

    rank = 4

    def _drawn(self, *shape: int) -> Any:
        if len(shape) < 2:
            return super()._drawn(*shape)
        left = self.random.normal(size=(shape[0], self.rank))
        right = self.random.normal(size=(self.rank, int(np.prod(shape[1:]))))
        return ((left @ right) / np.prod(shape[1:]) ** 0.5).reshape(shape).astype(np.float32)


def _apply(workshop: Workshop, proto: ModelProto, **parameters: Any) -> Optimized:
    model = graphs.save(proto, workshop.root / "net.onnx")
    return workshop.apply(
        "onnx-decompose", model, workshop.examples(x=pictures(320)), FIDELITY, **{**UNTIMED, **parameters}
    )


def _two(net: Net, **attributes: Any) -> ModelProto:
    inner = net.add("Relu", "relu", [net.conv("first", "x", 16)])
    proto = net.model(net.conv("second", inner, 24, **attributes))
    for place in (2, 3):
        proto.graph.output[0].type.tensor_type.shape.dim[place].dim_param = f"side{place}"
    return proto


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "attributes",
    [{}, {"strides": [2, 2]}, {"strides": [1, 2], "dilations": [2, 1]}, {"strides": [2, 1], "auto_pad": "SAME_UPPER"}],
    ids=str,
)
def test_a_layer_of_low_rank_is_replaced_without_loss_whatever_its_strides(
    workshop: Workshop, attributes: dict[str, Any], weighted: bool
):
    net = LowRank()
    proto = _two(net, **attributes)
    if "auto_pad" in attributes:
        second = next(node for node in proto.graph.node if node.name == "second")
        second.attribute.remove(next(one for one in second.attribute if one.name == "pads"))
    made = _apply(workshop, proto, form="channel", weighted=weighted, ranks=["second=channel:4"])
    assert sqnr_db(made) > 80
    assert np.allclose(outputs(proto, pictures(4)), outputs(made.artifact, pictures(4)), atol=1e-3)


class SmallCore(Net):
    """A graph whose kernels mix few channels of their own, as Tucker-2 finds them."""

    def _drawn(self, *shape: int) -> Any:
        if len(shape) < 4 or shape[1] < 16:
            return super()._drawn(*shape)
        core = super()._drawn(12, 8, *shape[2:])
        return np.einsum("mr,rsij,sc->mcij", super()._drawn(shape[0], 12), core, super()._drawn(8, shape[1]))


@pytest.mark.parametrize(
    ("form", "rank", "net"), [("spatial", 12, LowRank), ("spatial-transposed", 12, LowRank), ("tucker", 12, SmallCore)]
)
def test_every_form_at_the_rank_of_the_weight_computes_the_same(
    workshop: Workshop, form: str, rank: int, net: type[Net]
):
    made = _apply(workshop, _two(net(), strides=[2, 1], dilations=[1, 2]), ranks=[f"second={form}:{rank}"], refit=False)
    assert sqnr_db(made) > 60
    assert len(loaded(made).graph.node) == (5 if form == "tucker" else 4)


def test_evidence_tells_each_layer_and_what_is_left(workshop: Workshop):
    net = Net()
    grouped = net.conv("grouped", net.conv("first", "x", 16), 16, group=4)
    proto = net.model(net.conv("last", grouped, 32))
    found = _apply(workshop, proto, removed=0.3).result.evidence
    assert {row["name"] for row in found["ranks"]} <= {"first", "last"}
    assert all(0.5 <= row["energy_kept"] <= 1 and row["macs_after"] < row["macs_before"] for row in found["ranks"])
    assert found["macs_removed"] >= 0.295
    assert found["macs_before"] - found["macs_after"] == sum(
        row["macs_before"] - row["macs_after"] for row in found["ranks"]
    )
    assert {
        "name": "grouped",
        "reason": "it is a convolution in groups, which has little to share between channels",
    } in (found["left"])
    assert {one["name"] for one in found["fitted"]} == {row["name"] for row in found["ranks"]}


def test_the_ranks_found_make_the_same_file_without_timing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    timed = []

    def times_ms(self: LayerTimer, layer: OnnxLayer, factors: Sequence[Factors]) -> list[float]:
        """As if time followed the work."""
        timed.append(layer.name)
        return [layer.dense.macs / 1e6, *(one.macs(layer.dense) / 1e6 for one in factors)]

    monkeypatch.setattr(LayerTimer, "times_ms", times_ms)
    first = _apply(workshop, _two(LowRank()), removed=0.3, timed=True)
    assert timed == ["first", "second"]
    assert all(row["ms_before"] > row["ms_after"] for row in first.result.evidence["ranks"])
    again = _apply(workshop, _two(LowRank()), timed=True, ranks=first.result.parameters["ranks"])
    assert again.result.digest == first.result.digest
    assert len(timed) == 2


@pytest.mark.timing
def test_factors_that_start_too_many_operators_are_measured_slower_than_a_small_layer(workshop: Workshop):
    with pytest.raises(TechniqueNotApplicable, match=r"second is left: too little time saved: at best 0\.0"):
        _apply(workshop, _two(LowRank()), removed=0.3, timed=True, form="cp", multiple_of=8)


def test_weighing_and_fitting_bring_the_outputs_closer(workshop: Workshop):
    net = Net()
    last = net.add("Relu", "act", [net.conv("second", net.add("Relu", "relu", [net.conv("first", "x", 16)]), 24)])
    proto = net.model(net.conv("third", last, 24))
    ranks = ["second=spatial:12", "third=spatial:12"]
    plain, weighted, fitted = (
        sqnr_db(_apply(workshop, proto, ranks=ranks, weighted=one, refit=other))
        for one, other in ((False, False), (True, False), (True, True))
    )
    assert plain < weighted < fitted


def _products(operator: str) -> Callable[[], ModelProto]:
    """Rows of pictures through three products with a bias of their own or behind them."""

    def make() -> ModelProto:
        net = LowRank()
        flat = net.flatten("x")
        if operator == "Gemm":
            inner = net.add("Relu", "relu", [net.gemm("first", flat, 192, 64)])
            return net.model(net.gemm("second", inner, 64, 32), rank=2)
        net.weights |= {"w": net._drawn(8, 32), "v": net._drawn(32, 16), "b": net._drawn(32)}
        product = net.add("MatMul", "first", ["x", "w"])
        net.channels[product] = 3
        return net.model(net.add("MatMul", "second", [net.add("Add", "plus", [product, "b"]), "v"]))

    return make


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
def test_matrix_products_become_two_narrower_ones(workshop: Workshop, operator: str, refit: bool):
    proto = _products(operator)()
    if operator == "MatMul":
        proto.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 16
    names = ["first=channel:4", "second=channel:4"]
    made = _apply(workshop, proto, ranks=names, refit=refit)
    assert sqnr_db(made) > 60
    assert made.result.evidence["macs_removed"] > 0.2
    assert sum(node.op_type == operator for node in loaded(made).graph.node) == 4


def test_a_shared_weight_is_left(workshop: Workshop):
    net = Net()
    last = net.conv("second", net.conv("first", "x", 3), 3)
    proto = net.model(net.conv("third", last, 32))
    next(n for n in proto.graph.node if n.name == "second").input[1] = "first.w"
    found = _apply(workshop, proto, removed=0.2).result.evidence
    assert {"name": "second", "reason": "its weight is shared with another layer"} in found["left"]


def test_more_than_there_is_is_refused_with_what_there_is(workshop: Workshop):
    net = Net()
    proto = net.model(net.conv("grouped", net.conv("first", "x", 12), 144, group=12))
    with pytest.raises(TechniqueNotApplicable, match=r"are in layers that can be decomposed, so 90% of all cannot"):
        _apply(workshop, proto, removed=0.9)
    with pytest.raises(TechniqueNotApplicable, match=r"at most \d+% of the macs can be removed, not 95%"):
        _apply(workshop, _two(Net()), removed=0.95)


def test_a_graph_without_such_layers_is_refused_with_the_reasons(workshop: Workshop):
    net = Net(4)
    model = graphs.save(net.model(net.conv("only", "x", 4, group=4)), workshop.root / "only.onnx")
    with pytest.raises(TechniqueNothingToDecompose, match="only: it is a convolution in groups"):
        workshop.apply("onnx-decompose", model, workshop.examples(x=pictures(64, 4)), FIDELITY)


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        ("nowhere=channel:4", "'nowhere' is not a layer that can be decomposed; those are first, second"),
        ("second=channel:400", "the rank of second as channel is 400, but must be 1 to 21"),
        ("second=flat:4", "second can become spatial or spatial-transposed or channel or tucker or cp, not 'flat'"),
        ("second", "'second' should read layer=form:rank"),
    ],
)
def test_ranks_that_the_model_cannot_have_are_refused(workshop: Workshop, ranks: str, reason: str):
    with pytest.raises(TechniqueParameters, match=f"ranks: {reason}"):
        _apply(workshop, _two(Net()), ranks=[ranks])


def test_a_budget_of_time_without_timing_is_refused(workshop: Workshop):
    with pytest.raises(TechniqueParameters, match="set timed, or choose macs or bytes"):
        _apply(workshop, _two(Net()), budget="latency")


def test_quantized_models_and_missing_examples_are_refused_by_name(workshop: Workshop):
    model = graphs.save(_two(Net()), workshop.root / "tiny.onnx")
    examples = workshop.examples(x=pictures(64))
    small = workshop.apply("onnx-static-int8", model, examples, FIDELITY, calibration_examples=8)
    with pytest.raises(TechniqueQuantizedModel, match="quantized already"):
        workshop.apply("onnx-decompose", small.artifact, examples, FIDELITY)
    with pytest.raises(TechniqueWithoutCalibration):
        workshop.apply("onnx-decompose", model, workshop.examples(x=pictures(4)), FIDELITY)


def test_a_decomposed_model_can_be_quantized(workshop: Workshop):
    made = _apply(workshop, _two(LowRank()), removed=0.3)
    examples = workshop.examples(x=pictures(320))
    small = workshop.apply("onnx-static-int8", made.artifact, examples, FIDELITY, calibration_examples=16)
    assert small.result.size_bytes < made.result.size_bytes
    assert sqnr_db(small) > 20
