"""Sessions on the samples that Lathe ships, from upload to verdict. Ratios are of one run; no clock decides a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.state import CandidateStatus, Outcome
from tests.agents.session.keys import PREPARED
from tests.assets.generated import slow_when_quantized
from tests.sessions.conftest import IMAGES, SAMPLES, FirstImages, RunSession, allowing, profile
from tests.sessions.driver import Finished
from tests.sessions.machine import needs_vnni

pytestmark = [pytest.mark.timing, pytest.mark.timeout(600)]

EXAMPLES = 2000
STATIC, DYNAMIC = "onnx-static-int8", "onnx-dynamic-int8"
TYPES = ("activation_type", "weight_type")
NUMBER_TYPES = ("onnx-graph", STATIC, DYNAMIC)
"""Without pruning, which the search would try second."""


def types_of(finished: Finished, key: str) -> tuple[str, ...]:
    parameters = finished.candidate(key).parameters
    return tuple(parameters[name] for name in TYPES if name in parameters)


# --- a residual network ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet(run_session: RunSession, images: FirstImages) -> Finished:
    """ "Fastest", with room for two number types: the loss of accuracy is limited to one point."""
    criteria = allowing(profile("fastest", candidates=2), *NUMBER_TYPES)
    return run_session(SAMPLES / "fashion_resnet.onnx", images(EXAMPLES), criteria)


@needs_vnni
def test_the_residual_network_comes_out_faster_and_smaller_with_every_constraint_proven(resnet: Finished) -> None:
    assert resnet.verdict.outcome is Outcome.IMPROVED
    assert {verdict.constraint for verdict in resnet.winner.constraints} == {"max_metric_drop_points", "min_speedup"}
    assert {verdict.status for verdict in resnet.winner.constraints} == {Holds.HOLDS}
    assert resnet.winner.verdict is Holds.HOLDS
    assert resnet.verdict.inconclusive == ()
    assert resnet.winner.size_bytes.ratio >= 3.7


@needs_vnni
def test_the_residual_network_is_at_least_three_and_a_half_times_faster(resnet: Finished) -> None:
    assert resnet.winner.latency.speedup.value >= 3.5
    assert types_of(resnet, resnet.verdict.candidate or "") == ("uint8", "int8")


@needs_vnni
def test_the_winner_is_timed_in_fresh_processes_and_the_report_says_how(resnet: Finished) -> None:
    latency = resnet.winner.latency
    assert 3 <= latency.processes <= 6
    assert latency.runs > latency.disturbed
    assert latency.priority
    assert latency.pressure is not None
    assert latency.cpu_speedup is not None


@needs_vnni
def test_more_than_one_choice_of_number_types_is_measured_and_the_best_wins(resnet: Finished) -> None:
    choices = {(resnet.candidate(key).technique, *types_of(resnet, key)) for key in resnet.evaluations}
    assert len(choices) >= 2
    delivered = resnet.verdict.candidate
    assert delivered is not None
    speedups = {key: report.latency.speedup.value for key, report in resnet.evaluations.items()}
    drops = {key: report.primary.drop.value for key, report in resnet.evaluations.items()}
    faster = [key for key in speedups if speedups[key] > speedups[delivered]]
    assert all(drops[key] > drops[delivered] for key in faster), "what is faster loses more"


@needs_vnni
def test_what_is_handed_over_is_the_model_that_was_measured(resnet: Finished) -> None:
    examples = np.load(IMAGES)
    images, labels = examples["image"][:500].astype(np.float32), examples["y"][:500]
    session = onnxruntime.InferenceSession(str(resnet.artifact), providers=["CPUExecutionProvider"])
    accuracy = 100 * (session.run(None, {"image": images})[0].argmax(1) == labels).mean()

    assert accuracy == pytest.approx(resnet.winner.primary.candidate.value, abs=5)
    assert resnet.artifact.stat().st_size == resnet.winner.size_bytes.candidate
    assert "package" in resnet.artifacts


def test_layers_have_the_names_that_the_prepared_graph_gives_them(resnet: Finished) -> None:
    """Or a technique would be told to keep nodes in float that it does not know."""
    prepared = onnx.load(resnet.artifacts[PREPARED])

    assert {layer.name for layer in resnet.analysis.layers} == {node.name for node in prepared.graph.node}


# --- depthwise convolutions ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["fastest", "balanced"])
def mobilenet(run_session: RunSession, images: FirstImages, request: pytest.FixtureRequest) -> Finished:
    return run_session(SAMPLES / "fashion_mobilenet.onnx", images(EXAMPLES), profile(request.param, candidates=2))


def test_the_depthwise_network_is_never_made_worse(mobilenet: Finished) -> None:
    if mobilenet.verdict.outcome is Outcome.UNCHANGED:
        assert mobilenet.verdict.candidate is None
        assert mobilenet.verdict.misses
        return
    report = mobilenet.winner
    assert report.verdict is not Holds.VIOLATED
    assert report.latency.speedup.low is not None
    assert report.size_bytes.ratio > 1
    if asks_for_speed(mobilenet):
        assert report.latency.speedup.low > max(1.0, report.latency.control.high or 1.0)
    else:
        assert (mobilenet.candidate(mobilenet.verdict.candidate or "").score or 0) > 1, "size may outweigh time"


def asks_for_speed(finished: Finished) -> bool:
    return finished.state.criteria.constraints.min_speedup is not None


@needs_vnni
def test_one_choice_of_types_makes_the_depthwise_network_faster(mobilenet: Finished) -> None:
    assert types_of(mobilenet, mobilenet.verdict.candidate or "") == ("uint8", "int8")
    assert mobilenet.winner.latency.speedup.value >= 1.5


def test_slow_types_are_rejected_or_predicted_slow(mobilenet: Finished) -> None:
    """Dynamic int8 with the library's own types runs depthwise convolutions ten times slower than float."""
    reports = mobilenet.evaluations
    slow = [key for key, report in reports.items() if (report.latency.speedup.high or 0) < 1]
    if asks_for_speed(mobilenet):  # Without, a smaller file may outweigh the time.
        assert mobilenet.verdict.candidate not in slow
        assert all(mobilenet.candidate(key).status is CandidateStatus.REJECTED for key in slow)
    dynamic = [o for o in mobilenet.plan.omitted if o.technique == DYNAMIC and "Conv in float" not in o.title]
    assert len(dynamic) == 2
    assert all("slower" in omission.reason or "as fast" in omission.reason for omission in dynamic)


# --- a model that every int8 variant slows down ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    path = tmp_path_factory.mktemp("slow") / "model.onnx"
    return path, slow_when_quantized(path)


@needs_vnni
def test_the_original_stands_where_every_variant_is_slower(run_session: RunSession, slow: tuple[Path, Path]) -> None:
    """Every variant of number types: a pruned model would be faster."""
    finished = run_session(*slow, allowing(profile("fastest", candidates=2), *NUMBER_TYPES))

    verdict = finished.verdict
    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.candidate is None
    assert verdict.binding == "min_speedup"
    reports = finished.evaluations
    assert {miss.candidate for miss in verdict.misses} == set(reports)
    narrow = [key for key in reports if finished.candidate(key).technique == STATIC]
    assert narrow, "number types are chosen by measuring"
    assert all((reports[key].latency.speedup.high or 0) < 1 for key in narrow)
    missed = {miss.candidate: miss.sentence for miss in verdict.misses if miss.constraint == "min_speedup"}
    assert all("slower" in missed[key] for key in narrow)
    assert "the objective size would accept its smaller file" in verdict.reason
    assert "package" in finished.artifacts


@needs_vnni
def test_the_smaller_one_is_handed_over_though_slower_where_size_is_the_goal(
    run_session: RunSession, slow: tuple[Path, Path]
) -> None:
    finished = run_session(*slow, profile("smallest", candidates=1))

    assert finished.verdict.outcome is Outcome.IMPROVED
    assert finished.winner.size_bytes.ratio >= 1.9
    assert finished.winner.latency.speedup.value < 1
    assert finished.artifact.stat().st_size == finished.winner.size_bytes.candidate


# --- where int8 is slow ----------------------------------------------------------------------------------------------


def test_where_no_number_type_is_faster_the_original_stands(resnet: Finished) -> None:
    """The same question has another true answer on other processors: 8 bits are not faster on all of them."""
    speedups = [report.latency.speedup.low or 0.0 for report in resnet.evaluations.values()]
    if resnet.verdict.outcome is Outcome.UNCHANGED:
        assert resnet.verdict.binding == "min_speedup"
        assert max(speedups) < 1.1
        assert resnet.verdict.misses
    else:
        assert max(speedups) >= 1.1
