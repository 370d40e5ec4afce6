"""What agents would have said of a small model: valid values to build sessions from, without running anything."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.acceleration import Acceleration, AcceleratorDevice, RuntimeOnDevice
from apps.agents.contracts.chain import Application
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.formats import Framework
from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import Fidelity, MetricComparison
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.contracts.reports.optimization import OptimizationResult
from apps.agents.contracts.state import CandidateRecord, Plan, Prediction

MODEL = ModelSummary(
    format="onnx",
    producer="pytorch 2.13",
    opset=17,
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 1, 8, 8)),),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
    parameters=100_000,
    size_bytes=400_000,
    operators={"Conv": 2, "Gemm": 1, "Relu": 2},
    weight_dtypes={"float32": 100_000},
)
DATA = DatasetSummary(
    kind="npz",
    task=Task.CLASSIFICATION,
    examples=1000,
    inputs=(TensorSpec(name="x", dtype="float32", shape=("N", 1, 8, 8)),),
    labels=TensorSpec(name="y", dtype="int64", shape=("N",)),
    classes=tuple("0123456789"),
)
DATA_SPEC = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION)
MACHINE = Machine(
    hostname="shed",
    cpu="A CPU",
    cores=2,
    memory_bytes=8 * 2**30,
    flags=("avx512_vnni",),
    system="Linux",
    python="3.11.7",
    libraries={"onnx": "1.23.2", "onnxruntime": "1.32.0"},
)


def acceleration(*, onnx: bool) -> Acceleration:
    """What a worker with one device reports: PyTorch computes there, and ONNX Runtime if its build can."""
    device = AcceleratorDevice(
        uuid="GPU-11111111-aaaa", name="NVIDIA H100", memory_bytes=80 * 2**30, compute_capability="9.0", driver="580.95"
    )
    reason = "" if onnx else "its ONNX Runtime is a build for the CPU"
    providers = ("CUDAExecutionProvider",) * onnx + ("CPUExecutionProvider",)
    return Acceleration(
        devices=(device,),
        runtimes=(
            RuntimeOnDevice(framework=Framework.TORCH, computes=True, providers=("cpu", "cuda 13.0")),
            RuntimeOnDevice(framework=Framework.ONNX, computes=onnx, providers=providers, reason=reason),
        ),
    )


def onnx_bytes() -> bytes:
    """A model of one node that fits `MODEL`'s input."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["logits"])], "relu", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def latency(p50_ms: float) -> Latency:
    return Latency(
        p50_ms=p50_ms, p95_ms=1.2 * p50_ms, throughput_per_s=1000 / p50_ms, runs=100, batch_size=1, threads=1
    )


ANALYSIS = AnalysisReport(
    model=MODEL,
    machine=MACHINE,
    latency=latency(1.0),
    peak_memory_bytes=30_000_000,
    layers=(
        Layer(
            name="conv1",
            op_type="Conv",
            parameters=60_000,
            weight_bytes=240_000,
            macs=1_000_000,
            time_ms=0.7,
            time_share=0.7,
            sqnr_db=35.0,
        ),
        Layer(
            name="fc",
            op_type="Gemm",
            parameters=40_000,
            weight_bytes=160_000,
            macs=40_000,
            time_ms=0.3,
            time_share=0.3,
            sqnr_db=40.0,
        ),
    ),
    operator_sensitivity=(),
    opportunities=(),
    compatibility=(),
    calibration_examples=200,
)
PREDICTION = Prediction(speedup=3.0, size_ratio=3.9, metric_drop_points=0.3, risk="low", basis="Measured elsewhere.")
CANDIDATE = CandidateRecord(
    key="c01",
    steps=(
        Application(
            technique="onnx-dynamic-int8",
            parameters={"weight_type": "int8", "per_channel": True, "keep_float_operators": [], "keep_float_nodes": []},
            title="Dynamic int8",
        ),
    ),
    predicted=PREDICTION,
    reason="Small and fast.",
)


def chain(*links: tuple[str, str]) -> dict[str, Any]:
    """Fields of a candidate's row whose chain has these techniques with their titles."""
    steps = [Application(technique=name, parameters={}, title=title).model_dump(mode="json") for name, title in links]
    return {"steps": steps, "technique": links[-1][0], "title": links[-1][1]}


PLAN = Plan(summary="One candidate is enough.", candidates=(CANDIDATE,), omitted=())
GRAPH = Application(technique="onnx-graph", parameters={}, title="Graph optimization")
HALF = Application(technique="onnx-float16", parameters={}, title="Float16")
PLAN_OF_TWO = Plan(
    summary="Both may be better.",
    candidates=(
        CANDIDATE,
        CANDIDATE.model_copy(
            update={
                "key": "c02",
                "steps": (HALF,),
                "predicted": PREDICTION.model_copy(update={"speedup": 2.9, "metric_drop_points": 0.0}),
            }
        ),
    ),
    omitted=(),
)
TAUGHT = CANDIDATE.last.model_copy(update={"inputs": {"teacher": (HALF,), "assistant": ()}})
PLAN_WITH_A_TEACHER = Plan(
    summary="The student learns from two.",
    candidates=(CANDIDATE.model_copy(update={"steps": (GRAPH, TAUGHT)}),),
    omitted=(),
)
"""A candidate whose last link also reads what float16 makes of the original, and the original."""
STATE_DICT = MODEL.model_copy(update={"format": "state-dict"})
RECOVERY = Application(
    technique="torch-recover",
    parameters={"steps": 36, "batch_size": 16, "learning_rate": 0.02},
    title="Recovery training",
    inputs={"teacher": ()},
)
PUPIL = Application(
    technique="torch-distill-student", parameters={}, title="Distillation", inputs={"teacher": (), "student": ()}
)
PLAN_WITH_A_STUDENT = Plan(
    summary="The student learns.", candidates=(CANDIDATE.model_copy(update={"steps": (PUPIL,)}),), omitted=()
)
PLAN_OF_A_RECOVERY = Plan(
    summary="One training.", candidates=(CANDIDATE.model_copy(update={"steps": (RECOVERY,)}),), omitted=()
)
RESULT = OptimizationResult(
    technique="onnx-dynamic-int8",
    parameters={},
    size_bytes=100_000,
    input_size_bytes=400_000,
    digest="c" * 64,
    libraries={"onnxruntime": "1.32.0"},
    seed=7,
    checks=("Loads.",),
)


def evaluation_on_a_busy_machine() -> EvaluationReport:
    """As `evaluation`, and 812 of 900 timed runs were disturbed by other programs."""
    report = evaluation()
    unknown = Estimate(value=3.0, low=-1e9, high=1e9)
    told = {"runs": 900, "disturbed": 812, "busy": True, "speedup": unknown}
    return report.model_copy(update={"latency": report.latency.model_copy(update=told)})


def evaluation(*, speedup: float = 3.0, drop: float = 0.1, verdict: Holds = Holds.HOLDS) -> EvaluationReport:
    """A candidate that is `speedup` times as fast, four times smaller, and loses `drop` points."""
    share = Estimate(value=90.0, low=88.0, high=92.0)
    return EvaluationReport(
        task=Task.CLASSIFICATION,
        examples=800,
        metrics=(
            MetricComparison(
                metric="top1",
                label="top-1 accuracy",
                unit="%",
                higher_is_better=True,
                original=share,
                candidate=Estimate(value=90.0 - drop, low=87.9 - drop, high=91.9 - drop),
                drop=Estimate(value=drop, low=drop - 0.1, high=drop + 0.1),
                test="mcnemar",
                p_value=0.5,
            ),
        ),
        fidelity=Fidelity(sqnr_db=30.0, cosine=0.999, max_abs_error=0.1, mean_abs_error=0.01),
        latency=LatencyComparison(
            original=latency(1.0),
            candidate=latency(1.0 / speedup),
            speedup=Estimate(value=speedup, low=speedup * 0.97, high=speedup * 1.03),
            control=Estimate(value=1.0, low=0.99, high=1.01),
            blocks=20,
            runs_per_block=20,
            warmup_runs=5,
        ),
        size_bytes=Pair(original=400_000, candidate=100_000, ratio=4.0),
        peak_memory_bytes=Pair(original=30e6, candidate=25e6, ratio=1.2),
        constraints=(
            ConstraintVerdict(
                constraint="max_metric_drop_points",
                limit=1.0,
                measured=Estimate(value=drop),
                unit="points",
                status=verdict,
                margin=1.0 - drop,
                sentence=f"It loses {drop} points.",
            ),
        ),
        verdict=verdict,
        confidence=0.95,
        machine=MACHINE,
    )
