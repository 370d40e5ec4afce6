"""Real models beside their originals: a good candidate holds, a broken one does not, the same one changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from apps.agents.contracts.criteria import Budget, Constraints, CountedSize, Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import TooFewExamples
from apps.agents.contracts.errors.evaluation import OutputsDiffer, OutputsNotFinite
from apps.agents.contracts.job import Job
from apps.agents.contracts.phrasing import gains_in_words
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import OriginalMemory
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.datasets.loading import Arrays, load_dataset
from apps.agents.evaluation.agent import EvaluationAgent
from apps.agents.files.answers_file import read_answers, read_ran
from apps.agents.handlers import evaluate as handler
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import fixed_batch, open_engine, run_portions
from tests.agents.told import Told
from tests.optimization import material

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
RESNET = SAMPLES / "fashion_resnet.onnx"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
QUICK = Effort(warmup_runs=3, warmup_s=0.02, block_s=0.01, rounds_minimum=4, rounds_maximum=8, budget_s=1.0)
HERE = Machine(hostname="here", cpu="", cores=1, memory_bytes=1, flags=(), system="", python="", libraries={})
CLASSIFY = DatasetSpec(kind="npz", task="classification")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 600 of the sample's test images."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    with np.load(IMAGES) as stored:
        np.savez(path, **{name: stored[name][:600] for name in stored.files})
    return path


@pytest.fixture(scope="module")
def quantized(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample ResNet in 8 bits, calibrated on examples that evaluation does not see."""
    folder = tmp_path_factory.mktemp("models")
    inputs = open_engine("onnx", RESNET, folder).summary.inputs
    batches = load_dataset(images, CLASSIFY, inputs, seed=1).calibration(64)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Arrays | None:
            return next(batches, None)

    target = folder / "int8.onnx"
    options = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    quantize_static(str(RESNET), str(target), Reader(), **options)
    return target


def evaluated(
    tmp_path: Path,
    candidate: Path,
    data: Path,
    criteria: Criteria | None = None,
    *,
    original: Path = RESNET,
    spec: DatasetSpec = CLASSIFY,
    told: Told | None = None,
    memory: OriginalMemory | None = None,
    shares: tuple[float, float] | None = None,
) -> EvaluationReport:
    engines = [open_engine("onnx", path, tmp_path) for path in (original, candidate)]
    dataset = load_dataset(data, spec, engines[0].summary.inputs, seed=1, scratch=tmp_path)
    return EvaluationAgent(QUICK).evaluate(
        *engines,
        dataset,
        criteria or Criteria(),
        told or Told(),
        machine=HERE,
        seed=1,
        keeps_parameters=True,
        original_memory=memory,
        compressed_shares=shares,
    )


def changed(tmp_path: Path, change: Callable[[ModelProto], None]) -> Path:
    """A copy of the ResNet that `change` has been at."""
    proto = onnx.load(RESNET)
    change(proto)
    onnx.save(proto, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def scaled_head(factor: float) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        head = next(tensor for tensor in proto.graph.initializer if 10 in tensor.dims and len(tensor.dims) == 2)
        weights = numpy_helper.to_array(head)
        head.CopyFrom(numpy_helper.from_array((weights * factor).astype(np.float32), head.name))

    return change


# --- whole evaluations -----------------------------------------------------------------------------------------------


def test_a_good_candidate_is_measured_and_holds(tmp_path: Path, quantized: Path, images: Path) -> None:
    told = Told()
    limits = Constraints(max_metric_drop_points=5, min_size_reduction=3.5, max_memory_bytes=10**9)
    report = evaluated(tmp_path, quantized, images, Criteria(constraints=limits), told=told)
    assert report.verdict is Holds.HOLDS, report.constraints
    assert report.examples == 384
    assert [metric.metric for metric in report.metrics] == ["top1", "top5", "macro_f1"]
    assert abs(report.primary.drop.value) < 3
    assert report.size_bytes.ratio > 3.5
    assert report.fidelity.sqnr_db > 20
    assert report.fidelity.agreement is not None
    assert report.fidelity.agreement.value > 95
    assert report.flips is not None
    assert report.flips.both_right + report.flips.both_wrong + report.flips.lost + report.flips.won == 384
    assert sum(of_class.examples for of_class in report.classes) == 384
    assert report.latency.speedup.value > 0
    assert report.peak_memory_bytes.original > 1_000_000
    assert report.implausible == ()
    fractions = told.fractions
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert None not in told.etas_s
    # On a busy machine no speed-up is known.
    assert set(told.metrics) == {"metric_drop"} | ({"speedup"} if not report.latency.busy else set())
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report


def test_the_same_model_twice_changes_nothing(tmp_path: Path, images: Path) -> None:
    limits = Constraints(max_metric_drop_points=0, min_size_reduction=1.4)
    criteria = Criteria(constraints=limits, counted_size=CountedSize.COMPRESSED)
    report = evaluated(tmp_path, RESNET, images, criteria, shares=(0.9, 0.6))
    assert (report.primary.drop.low, report.primary.drop.value, report.primary.drop.high) == (0.0, 0.0, 0.0)
    assert report.flips is not None
    assert report.flips.changed == 0
    assert report.size_bytes.ratio == 1.0
    assert report.counted_bytes.ratio == pytest.approx(1.5, abs=0.001), "as if its file compressed better"
    assert report.counted_bytes.original == round(0.9 * report.size_bytes.original)
    assert report.verdict is Holds.HOLDS
    # What a ratio measured on a shared machine comes to is test_measuring's matter, on a clock of its own.
    assert report.latency.speedup.value > 0
    assert report.implausible == ()


def test_a_broken_candidate_is_violated(tmp_path: Path, images: Path) -> None:
    report = evaluated(tmp_path, changed(tmp_path, scaled_head(-1.0)), images)
    assert report.verdict is Holds.VIOLATED
    assert report.primary.drop.value > 50
    assert report.primary.p_value < 1e-6
    (constraint,) = report.constraints
    assert constraint.margin < -49
    assert report.fidelity.cosine < 0.5


def test_a_candidate_that_gives_no_numbers_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(OutputsNotFinite, match="candidate"):
        evaluated(tmp_path, changed(tmp_path, scaled_head(np.nan)), images)


def test_a_candidate_with_another_interface_is_refused(tmp_path: Path, images: Path) -> None:
    def rename(proto: ModelProto) -> None:
        name = proto.graph.output[0].name
        proto.graph.output[0].name = "other"
        for node in proto.graph.node:
            node.output[:] = ["other" if output == name else output for output in node.output]

    with pytest.raises(OutputsDiffer, match="outputs are other"):
        evaluated(tmp_path, changed(tmp_path, rename), images)


def test_too_few_examples_are_told_before_anything_is_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", image=np.zeros((12, 1, 28, 28), np.float32), y=np.zeros(12, np.int64))
    with pytest.raises(TooFewExamples):
        evaluated(tmp_path, RESNET, tmp_path / "few.npz")


def test_without_labels_the_original_is_the_truth(tmp_path: Path, quantized: Path, images: Path) -> None:
    report = evaluated(tmp_path, quantized, images, spec=DatasetSpec(kind="npz", task="fidelity"))
    assert report.primary.metric == "agreement"
    assert report.primary.drop.value == pytest.approx(100 - report.primary.candidate.value)
    assert report.flips is None


# --- small graphs ----------------------------------------------------------------------------------------------------


def product(path: Path, weights: np.ndarray, batch: int | str = "batch") -> Path:
    """`y = x · weights`, saved at `path`."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(8, 3))


def test_a_regression_of_a_model_exported_with_a_fixed_batch(tmp_path: Path, weights: np.ndarray) -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(50, 8))
    np.savez(tmp_path / "d.npz", x=x, y=x @ weights + random.normal(0, 0.1, (50, 3)))
    original = product(tmp_path / "a.onnx", weights, batch=4)
    candidate = product(tmp_path / "b.onnx", weights + 0.05, batch=4)
    criteria = Criteria(target=Target(batch_size=2), constraints=Constraints(max_metric_drop_points=0.01))
    spec = DatasetSpec(kind="npz", task="regression")
    report = evaluated(tmp_path, candidate, tmp_path / "d.npz", criteria, original=original, spec=spec)
    assert report.primary.metric == "mae"
    assert report.verdict is Holds.VIOLATED
    assert report.latency.original.batch_size == 4
    assert any("batch size 4" in note for note in report.notes)


@pytest.mark.parametrize(
    ("batch_size", "hostname", "taken_over"), [(1, "here", True), (2, "here", False), (1, "elsewhere", False)]
)
def test_the_originals_memory_is_measured_once_a_session(
    tmp_path: Path, weights: np.ndarray, batch_size: int, hostname: str, taken_over: bool
) -> None:
    x = np.random.default_rng(3).normal(size=(50, 8))
    np.savez(tmp_path / "d.npz", x=x, y=x @ weights)
    model, spec = product(tmp_path / "a.onnx", weights), DatasetSpec(kind="npz", task="regression")
    analysed = OriginalMemory(peak_bytes=123, batch_size=batch_size, hostname=hostname)
    report = evaluated(tmp_path, model, tmp_path / "d.npz", original=model, spec=spec, memory=analysed)
    assert (report.peak_memory_bytes.original == 123) is taken_over
    assert report.peak_memory_bytes.candidate != 123


def test_a_metric_that_the_output_does_not_allow_is_stood_in_for(tmp_path: Path, weights: np.ndarray) -> None:
    x = np.random.default_rng(3).normal(size=(50, 8))
    np.savez(tmp_path / "d.npz", x=x, y=np.argmax(x @ weights, 1))
    model = product(tmp_path / "a.onnx", weights)
    spec = DatasetSpec(kind="npz", task="classification", metric="top5")
    report = evaluated(tmp_path, model, tmp_path / "d.npz", original=model, spec=spec)
    assert report.primary.metric == "top1"
    assert "top-5 accuracy cannot be measured on this output; top-1 accuracy is used instead." in report.notes


def test_pairs_of_embeddings_are_judged_by_spearman(tmp_path: Path, weights: np.ndarray) -> None:
    random = np.random.default_rng(4)
    left, right = random.normal(size=(2, 60, 8))
    np.savez(tmp_path / "d.npz", x_a=left, x_b=right, y=random.random(60))
    spec = DatasetSpec(kind="npz", task="embedding", pairs=True)
    model = product(tmp_path / "a.onnx", weights)
    report = evaluated(tmp_path, model, tmp_path / "d.npz", original=model, spec=spec)
    assert report.primary.metric == "spearman"
    assert report.examples == 32
    assert report.primary.drop.value == 0.0


def test_a_fixed_batch_is_filled_up_and_cut_again(tmp_path: Path, weights: np.ndarray) -> None:
    engine = open_engine("onnx", product(tmp_path / "a.onnx", weights, batch=4), tmp_path)
    x = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    assert fixed_batch(engine.summary.inputs) == 4
    (output,) = run_portions(engine.session(Target()), {"x": x}, 4)
    assert output is not None
    assert np.allclose(output, x @ weights, atol=1e-5)


def test_an_output_without_an_entry_an_example_is_none() -> None:
    assert run_portions(lambda feeds: [np.zeros((1, 3))], {"x": np.zeros((10, 2))}, None) == [None]


# --- the job ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path, quantized: Path, images: Path) -> Job:
    criteria = Criteria(constraints=Constraints(max_metric_drop_points=5), budget=Budget(minutes=0.5, candidates=10))
    return Job(
        handler="apps.agents.handlers.evaluate:run",
        scratch=tmp_path,
        inputs={"original": RESNET, "model": quantized, "dataset": images},
        arguments={
            "criteria": criteria.model_dump(mode="json"),
            "dataset": CLASSIFY.model_dump(mode="json"),
            "technique": "onnx-static-int8",
            "original_format": "onnx",
            "format": "onnx",
            "batch_divisor": 4,
        },
        seed=1,
    )


def test_the_job_hands_back_a_report_as_plain_json(job: Job) -> None:
    result = handler.run(Told(job))  # type: ignore[arg-type]
    report = EvaluationReport.model_validate(json.loads(json.dumps(result.body)))
    assert report.examples == 384
    assert report.machine.cores >= 1
    (kept,) = result.files
    assert read_answers(job.file(kept.path)).examples == 384
    assert read_ran(job.file(kept.path))


@pytest.mark.parametrize(
    ("minutes", "candidates", "seconds"), [(30, 12, 20.0), (1, 2, 7.5), (1, 100, 3.0), (1440, 1, 20.0)]
)
def test_timing_fits_the_budget(minutes: float, candidates: int, seconds: float) -> None:
    effort = handler.effort_for(Criteria(budget=Budget(minutes=minutes, candidates=candidates)))
    assert (effort.budget_s, effort.warmup_s) == (seconds, Effort.warmup_s)


@pytest.mark.parametrize(("allowed_s", "seconds"), [(60.0, 37.5), (5.0, 5.0), (1.0, 1.0)])
def test_timing_takes_no_longer_than_the_worker_allows(allowed_s: float, seconds: float) -> None:
    effort = handler.effort_for(Criteria(budget=Budget(minutes=30, candidates=12)), allowed_s)
    assert effort.budget_s == seconds
    assert effort.warmup_s == min(Effort.warmup_s, seconds / 10)


def test_quantization_keeps_parameters_and_the_unknown_may_not() -> None:
    assert handler.keeps_parameters("onnx-static-int8")
    assert not handler.keeps_parameters("somebody-elses-pruning")
    assert not handler.keeps_parameters(None)


# --- whose the gain is ------------------------------------------------------------------------------------------------


def test_the_gain_of_a_runtime_is_told_apart_from_that_of_the_technique() -> None:
    report = material.evaluation(speedup=203.0)
    litert = RuntimeBaseline(runtime="LiteRT", speedup=197.0, size_ratio=1.25, in_turns=True)
    gains = handler.gains_of(report, "litert-dynamic", "tflite", litert)
    assert gains is not None
    assert gains_in_words(gains) == "197× from LiteRT, 1.03× from dynamic range"
    assert gains.runtime_size_ratio * gains.technique_size_ratio == report.size_bytes.ratio
    moved = handler.gains_of(report, "litert-export", "tflite", None)
    assert moved is not None
    assert gains_in_words(moved) == "all of it from LiteRT"
    assert handler.gains_of(report, "onnx-dynamic-int8", "onnx", None) is None
    assert handler.gains_of(report, None, "onnx", None) is None
