"""Structured pruning as a technique: on the sample, and what it refuses by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from apps.agents.backends.onnx.pruning import agent
from apps.agents.backends.onnx.runtime import open_session
from apps.agents.contracts.errors.techniques import (
    TechniqueNotApplicable,
    TechniqueNothingToPrune,
    TechniqueQuantizedModel,
    TechniqueTooSlow,
    TechniqueWithoutCalibration,
)
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.measuring.effort import Effort
from apps.agents.techniques import speed_target
from apps.agents.techniques.base import Assignment, Optimized
from apps.agents.techniques.speed_target import MOST_TRIES, SpeedGoal
from tests.agents import graphs
from tests.agents.backends.onnx_pruning.nets import Net, pictures, widths
from tests.agents.techniques.test_speed_target import comparison
from tests.agents.workshop import DEPTHWISE, FASHION, FIDELITY, RESNET, Workshop, loaded, sqnr_db

JUDGED = slice(2000, 3000)
"""Test pictures that accuracy is counted on."""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def _accuracy(model: Path) -> float:
    """Per cent of the judged pictures that the model names rightly."""
    with np.load(FASHION) as data:
        images, labels = data["image"][JUDGED].astype(np.float32), data["y"][JUDGED]
    (logits,) = open_session(model).run(None, {"image": images})
    return 100 * float((logits.argmax(1) == labels).mean())


def _small(workshop: Workshop, **parameters: object) -> Optimized:
    """A net of two convolutions and a head, pruned on a few pictures."""
    net = Net()
    normed = net.norm("norm", net.conv("first", "x", 16))
    inner = net.add("Relu", "act", [net.conv("second", net.add("Relu", "relu", [normed]), 16)])
    pooled = net.add("Flatten", "flat", [net.add("GlobalAveragePool", "pool", [inner])])
    model = graphs.save(net.model(net.gemm("head", pooled, 16, 5), rank=2), workshop.root / "small.onnx")
    return workshop.apply("onnx-prune", model, workshop.examples(x=pictures(320)), FIDELITY, **parameters)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.nightly
def test_seven_tenths_of_the_samples_work_go_at_little_loss(workshop: Workshop):
    made = workshop.apply("onnx-prune", RESNET, macs_removed=0.7, multiple_of=16, calibration_examples=256)
    found = made.result.evidence
    assert found["macs_removed"] >= 0.7
    assert all(count % 16 == 0 for name, count in widths(loaded(made)).items() if name != "head")
    assert made.result.input_size_bytes / made.result.size_bytes > 2.5
    assert found["uncut"] == [{"name": "head", "width": 10, "reason": "goes to the output logits"}]
    assert [one["name"] for one in found["fitted"]][-1] == "head"
    assert all(one["error"] < one["error_before"] for one in found["fitted"])
    assert _accuracy(made.artifact) > _accuracy(RESNET) - 2.0
    cut = workshop.apply("onnx-prune", RESNET, macs_removed=0.7, compensate=False, calibration_examples=64)
    assert _accuracy(cut.artifact) < _accuracy(RESNET) - 20.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_depthwise_sample_is_cut_between_its_blocks_and_inside(workshop: Workshop):
    made = workshop.apply("onnx-prune", DEPTHWISE, macs_removed=0.2, multiple_of=8, calibration_examples=256)
    assert made.result.evidence["macs_removed"] >= 0.2
    assert _accuracy(made.artifact) > _accuracy(DEPTHWISE) - 3.0


def test_a_speed_is_reached_by_timing_and_the_recipe_makes_the_same_without(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    timed = []

    def time_beside(assignment: Assignment, artifact: Path, goal: SpeedGoal) -> LatencyComparison:
        """As if time followed the parameters."""
        timed.append(artifact)
        left = sum(numpy_helper.to_array(one).size for one in onnx.load(str(artifact)).graph.initializer)
        return comparison(parameters / left)

    monkeypatch.setattr(agent, "time_beside", time_beside)
    parameters = _small(workshop, macs_removed=0.05, multiple_of=1).result.evidence["parameters_before"]
    made = _small(workshop, speedup_wanted=2.0, multiple_of=1)
    assert made.result.evidence["parameters_after"] <= parameters / 2
    assert made.result.evidence["fitted"], "what is handed over is fitted, as without a speed"
    assert 1 < len(timed) <= MOST_TRIES
    found = {name: made.result.parameters[name] for name in ("macs_removed", "speedup_wanted", "latency_ms")}
    timed.clear()
    again = _small(workshop, multiple_of=1, **found)
    assert again.result.digest == made.result.digest
    assert not timed


def test_a_speed_that_no_width_reaches_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent, "time_beside", lambda *_: comparison(3.0))
    with pytest.raises(TechniqueTooSlow, match="4 times as fast") as refused:
        _small(workshop, speedup_wanted=4.0, multiple_of=1)
    assert refused.value.code == "technique.too_slow"


@pytest.mark.timing
@pytest.mark.slow
def test_a_try_is_timed_beside_the_sample(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed_target, "MOST_TRIES", 1)
    monkeypatch.setattr(speed_target, "EFFORT", Effort(budget_s=0.6, warmup_s=0.1))
    cheap = {"allocation": "uniform", "compensate": False, "calibration_examples": 32}
    made = workshop.apply("onnx-prune", RESNET, speedup_wanted=1.5, **cheap)
    assert len(made.result.evidence["timed"]) == 1
    assert made.result.evidence["timed"][0]["speedup"] > 4, "with all gone that can go; 15 was measured"


def test_evidence_names_every_layer_and_the_effect_is_counted(workshop: Workshop):
    made = _small(workshop, macs_removed=0.4, multiple_of=1)
    found = made.result.evidence
    assert [name for name, _, _ in found["channels_by_layer"]] == ["first", "second", "head"]
    assert {name: kept for name, _, kept in found["channels_by_layer"]} == widths(loaded(made))
    assert found["macs_removed"] >= 0.4
    assert any("multiply-accumulates are left" in check for check in made.result.checks)


def test_repeated_work_gives_the_same_bytes(workshop: Workshop):
    first, second = (_small(workshop, macs_removed=0.4, multiple_of=8) for _ in range(2))
    assert first.result.digest == second.result.digest


def test_fitting_brings_the_outputs_closer(workshop: Workshop):
    plain, mended = (_small(workshop, macs_removed=0.4, multiple_of=1, compensate=one) for one in (False, True))
    assert sqnr_db(mended) > sqnr_db(plain) + 1.0
    assert plain.result.evidence["fitted"] == []


@pytest.mark.parametrize("allocation", ["uniform", "sensitivity"])
@pytest.mark.parametrize("importance", ["reconstruction", "variance", "l2"])
def test_every_choice_of_channels_reaches_the_target(workshop: Workshop, allocation: str, importance: str):
    made = _small(workshop, macs_removed=0.4, multiple_of=1, allocation=allocation, importance=importance)
    assert made.result.evidence["macs_removed"] >= 0.4


def test_more_than_can_go_is_refused_with_what_can(workshop: Workshop):
    with pytest.raises(TechniqueNotApplicable, match=r"multiples of 16 at most 0% .*, not 50%"):
        _small(workshop, macs_removed=0.5, multiple_of=16)


def test_a_graph_in_which_nothing_can_be_cut_is_refused_with_the_reasons(workshop: Workshop):
    net = Net()
    model = graphs.save(net.model(net.conv("only", "x", 16)), workshop.root / "only.onnx")
    with pytest.raises(TechniqueNothingToPrune, match=r"only goes to the output only\.y"):
        workshop.apply("onnx-prune", model, workshop.examples(x=pictures()), FIDELITY)


def test_a_quantized_model_is_refused_by_name(workshop: Workshop):
    small = workshop.apply("onnx-static-int8", DEPTHWISE, calibration_examples=8)
    with pytest.raises(TechniqueQuantizedModel, match="quantized already"):
        workshop.apply("onnx-prune", small.artifact)


def test_a_data_set_without_calibration_examples_is_refused_by_name(workshop: Workshop):
    with pytest.raises(TechniqueWithoutCalibration):
        net = Net()
        model = graphs.save(net.model(net.conv("last", net.conv("one", "x", 16), 4)), workshop.root / "tiny.onnx")
        workshop.apply("onnx-prune", model, workshop.examples(x=pictures(4)), FIDELITY)


def test_a_pruned_model_can_be_quantized(workshop: Workshop):
    pruned = _small(workshop, macs_removed=0.4, multiple_of=1)
    examples = workshop.examples(x=pictures(320))
    small = workshop.apply("onnx-static-int8", pruned.artifact, examples, FIDELITY, calibration_examples=16)
    assert small.result.size_bytes < pruned.result.size_bytes
    assert sqnr_db(small) > 15


def test_batches_of_one_size_are_taken(workshop: Workshop):
    net = Net()
    last = net.conv("last", net.add("Relu", "relu", [net.conv("one", "x", 16)]), 4)
    proto = net.model(last)
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = 2
    model = graphs.save(proto, workshop.root / "pairs.onnx")
    made = workshop.apply("onnx-prune", model, workshop.examples(x=pictures(64)), FIDELITY, multiple_of=8)
    assert widths(onnx.load(str(made.artifact)))["one"] == 8
