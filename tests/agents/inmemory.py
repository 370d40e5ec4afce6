"""A session without a database, a queue or a library: steps are carried out by functions over a made-up world.

The world knows the truth that the agents are to find out: how fast each number type really is, which operators are
fragile, which technique crashes. A seed draws the order in which steps that run side by side end.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.agents.contracts.criteria import Criteria, Device
from apps.agents.contracts.experience import Learned
from apps.agents.contracts.plan_edits import NO_EDITS, PlanEdits
from apps.agents.contracts.refinement import RefineParameters
from apps.agents.contracts.reports.analysis import AnalysisReport, Compatibility, Layer, OperatorSensitivity
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import Fidelity, MetricComparison
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec
from apps.agents.contracts.reports.selection import Level
from apps.agents.contracts.state import ACTIVE, Decision, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.evaluation import verdicts
from apps.agents.measuring.machine_class import machine_class
from apps.agents.measuring.statistics.certainty import quantile, shared_confidence
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.prediction import Scope, scope_of
from apps.agents.planning.sampling import propose
from apps.agents.session.manager import OptimizationManager
from apps.agents.techniques.catalogue import TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.kernels import Kind
from apps.agents.techniques.knowledge.profile import profile_of_analysis
from apps.agents.techniques.knowledge.tables import Knowledge
from apps.agents.techniques.knowledge.technique import QuantizationKnowledge

VNNI = ("avx2", "avx512f", "avx512_vnni")
STATIC, DYNAMIC, BLOCKS, FLOAT16, GRAPH = (
    "onnx-static-int8",
    "onnx-dynamic-int8",
    "onnx-weight-only",
    "onnx-float16",
    "onnx-graph",
)
PRUNE = "onnx-prune"
DECOMPOSE = "onnx-decompose"
WIDTH = "torch-prune-width"
CALIBRATION = ("onnx-equalize", "onnx-gptq", "onnx-adaround", "onnx-low-bits")
EXPORT, BITSANDBYTES, GPTQ, AWQ, NEAREST, AUTOAWQ, HALF, WEIGHT_ONLY, SMOOTH = (
    "onnx-export",
    "torch-bitsandbytes",
    "torch-gptq",
    "torch-awq",
    "torch-round-to-nearest",
    "torch-autoawq",
    "torch-half",
    "torch-weight-only",
    "torch-smoothquant",
)
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Truth:
    """What a technique with its parameters really does."""

    speedup: float
    size_ratio: float
    drop_points: float
    drop_margin: float = 0.2
    """Half the width of the interval of the drop."""


@dataclass(frozen=True)
class World:
    """A model on a machine. `factors` are true kernel factors by `(technique, activation, weight)`, 1 where missing."""

    layers: tuple[Layer, ...]
    size_bytes: int
    factors: Mapping[tuple[str, str, str], float]
    flags: tuple[str, ...] = VNNI
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    """What the analysis says of operator types, in dB."""
    fragile_operators: Mapping[str, float] = field(default_factory=dict)
    """Points lost when an operator of the type is quantized by the static technique."""
    fragile_nodes: Mapping[str, float] = field(default_factory=dict)
    """Points lost when the node is quantized, by whatever technique."""
    failing: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Code and sentence by step key, technique or candidate."""
    saturated_points: float = 0.0
    """Points lost where sums of products saturate."""
    per_channel_crashes: frozenset[str] = frozenset()
    drop_margin: float = 0.2
    latency_ms: float = 10.0
    graph_speedup: float = 1.0
    step_s: float = 10.0
    format: str = "onnx"
    language: LanguageModel | None = None
    exported: World | None = None
    """What the export to ONNX makes of it."""
    losses: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """What a technique for PyTorch loses with all its modules changed, by its name and number type or bits."""
    weight_dtypes: Mapping[str, int] | None = None
    quantization: str | None = None
    task: Task = Task.CLASSIFICATION
    choosing_margin: float | None = None
    """Half the interval of the drop on the validation examples; that of the test examples unless given."""
    unlucky: Mapping[str, float] = field(default_factory=dict)
    """Points that a candidate loses more when it is judged than when it is ranked."""

    def takes_s(self, request: StepRequest) -> float:
        """How long a step takes."""
        return self.step_s

    def truth_of(self, links: Sequence[StepRequest]) -> Truth:
        """The true effect of what these steps made one after the other."""
        return self.truth(links[-1].technique or "", links[-1].parameters)

    @property
    def dataset(self) -> DatasetSummary:
        return DATASET.model_copy(update={"task": self.task})

    @property
    def model(self) -> ModelSummary:
        operators: dict[str, int] = {}
        for layer in self.layers:
            operators[layer.op_type] = operators.get(layer.op_type, 0) + 1
        return ModelSummary(
            format=self.format,
            producer="test",
            opset=17 if self.format == "onnx" else None,
            inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 8)),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 10)),),
            parameters=self.size_bytes // 4,
            size_bytes=self.size_bytes,
            operators=operators,
            weight_dtypes=dict(self.weight_dtypes or {"float32": self.size_bytes // 4}),
            language=self.language,
            quantization=self.quantization,
        )

    @property
    def analysis(self) -> AnalysisReport:
        machine = Machine(
            hostname="test",
            cpu="Test CPU",
            cores=2,
            memory_bytes=8 * 1024**3,
            flags=self.flags,
            system="Linux",
            python="3.11",
            libraries={},
        )
        return AnalysisReport(
            model=self.model,
            machine=machine,
            latency=_latency(self.latency_ms),
            peak_memory_bytes=100 * MEGABYTE,
            layers=self.layers,
            operator_sensitivity=tuple(
                OperatorSensitivity(op_type=op_type, count=1, sqnr_db=decibels)
                for op_type, decibels in self.sensitivity.items()
            ),
            opportunities=(),
            compatibility=tuple(Compatibility(technique=name, compatible=True, reason="") for name in catalogue()),
            calibration_examples=128,
        )

    def truth(self, technique: str, parameters: Mapping[str, Any]) -> Truth:
        """The true effect: Amdahl over true factors, bytes of the changed weights, points of what is fragile."""
        if self.exported is not None and technique.startswith("onnx-"):
            return self._of_exported(self.exported, technique, parameters)
        if technique == GRAPH:
            return Truth(self.graph_speedup, 1.0, 0.0, 0.0)
        profile = profile_of_analysis(self.analysis)
        scope = scope_of(catalogue()[technique], parameters, profile)
        weight = str(next((parameters[name] for name in ("weight_type", "bits", "type") if name in parameters), ""))
        factor = self.factors.get((technique, str(parameters.get("activation_type", "")), weight), 1.0)
        heavy = sum(node.time_share for node in scope.nodes if node.kind in (Kind.CONVOLUTION, Kind.PRODUCT))
        left = {FLOAT16: 0.5, HALF: 0.5, BLOCKS: 0.16 if weight == "4" else 0.28}.get(technique)
        left = left or (0.16 if weight in ("4", "nf4") else 0.255)
        saved = sum(node.weight_bytes for node in scope.nodes) * (1 - left)
        return Truth(
            speedup=1 / (1 - heavy + heavy / factor),
            size_ratio=self.size_bytes / (self.size_bytes - saved),
            drop_points=0.0 if technique == FLOAT16 else self._drop(technique, parameters, weight, scope),
            drop_margin=self.drop_margin,
        )

    def _of_exported(self, exported: World, technique: str, parameters: Mapping[str, Any]) -> Truth:
        """Against the original, which is slower or faster by what its runtime is."""
        lead = self.latency_ms / exported.latency_ms, self.size_bytes / exported.size_bytes
        alone = Truth(1.0, 1.0, 0.0, 0.0) if technique == EXPORT else exported.truth(technique, parameters)
        return replace(alone, speedup=alone.speedup * lead[0], size_ratio=alone.size_ratio * lead[1])

    def _drop(self, technique: str, parameters: Mapping[str, Any], weight: str, scope: Scope) -> float:
        types = {node.op_type for node in scope.nodes} if technique == STATIC else set()
        names = {node.name for node in scope.nodes}
        every = sum(node.weight_bytes for node in (*scope.nodes, *scope.kept))
        share = sum(node.weight_bytes for node in scope.nodes) / every if every else 0.0
        whole = self.losses.get((technique, weight), 0.0) * share
        known, machine = catalogue()[technique].knowledge, machine_class(Device.CPU, frozenset(self.flags))
        saturates = isinstance(known, QuantizationKnowledge) and known.overflows(parameters, machine)
        return (
            whole
            + (self.saturated_points if saturates else 0.0)
            + sum(points for op_type, points in self.fragile_operators.items() if op_type in types)
            + sum(points for name, points in self.fragile_nodes.items() if name in names)
        )


DATASET = DatasetSummary(
    kind="npz",
    task=Task.CLASSIFICATION,
    examples=2000,
    inputs=(TensorSpec(name="x", dtype="float32", shape=("N", 8)),),
    labels=TensorSpec(name="y", dtype="int64", shape=("N",)),
)


def _latency(milliseconds: float) -> Latency:
    return Latency(
        p50_ms=milliseconds,
        p95_ms=milliseconds * 1.1,
        throughput_per_s=1000 / milliseconds,
        runs=100,
        batch_size=1,
        threads=1,
    )


def _metric(truth: Truth) -> MetricComparison:
    return MetricComparison(
        metric="top1",
        label="top-1",
        unit="%",
        higher_is_better=True,
        original=Estimate(value=90.0),
        candidate=Estimate(value=90.0 - truth.drop_points),
        drop=Estimate(
            value=truth.drop_points,
            low=truth.drop_points - truth.drop_margin,
            high=truth.drop_points + truth.drop_margin,
        ),
        test="mcnemar",
        p_value=0.5,
    )


def _wider(criteria: Criteria, sharing: int) -> float:
    """How much wider an interval is where so many share the chance of error."""
    return quantile(shared_confidence(criteria.confidence, sharing)) / quantile(criteria.confidence)


def _level(truth: Truth, criteria: Criteria, sharing: int) -> Level:
    metric = _metric(replace(truth, drop_margin=truth.drop_margin * _wider(criteria, sharing)))
    confidence = shared_confidence(criteria.confidence, sharing)
    measured = verdicts.MetricMeasured(metric, 1200, confidence)
    constraints = verdicts.judge_metric(criteria.constraints, measured)
    return Level(sharing=sharing, confidence=confidence, drop=metric.drop, constraints=constraints)


def evaluation(
    world: World,
    truth: Truth,
    criteria: Criteria,
    implausible: tuple[str, ...] = (),
    part: Part = Part.EVALUATION,
    finalists: int = 1,
) -> EvaluationReport:
    """The report that an exact evaluation of `truth` would write, of one of so many `finalists`."""
    levels = tuple(_level(truth, criteria, sharing) for sharing in range(finalists, 0, -1))
    if part is Part.EVALUATION:
        truth = replace(truth, drop_margin=truth.drop_margin * _wider(criteria, finalists))
    noise = 0.02
    speedup = Estimate(value=truth.speedup, low=truth.speedup * (1 - noise), high=truth.speedup * (1 + noise))
    size = Pair(original=world.size_bytes, candidate=world.size_bytes / truth.size_ratio, ratio=truth.size_ratio)
    primary = _metric(truth)
    memory = Pair(original=100, candidate=100, ratio=1.0)
    latency = LatencyComparison(
        original=_latency(world.latency_ms),
        candidate=_latency(world.latency_ms / truth.speedup),
        speedup=speedup,
        control=Estimate(value=1.0, low=0.99, high=1.01),
        blocks=20,
        runs_per_block=10,
        warmup_runs=5,
    )
    measurements = verdicts.Measurements(
        primary=primary,
        examples=2000,
        latency=latency,
        candidate_latency_ms=Estimate(value=latency.candidate.p50_ms),
        size_bytes=size,
        peak_memory_bytes=memory,
        confidence=criteria.confidence,
    )
    constraints = verdicts.judge(criteria.constraints, measurements)
    return EvaluationReport(
        task=Task.CLASSIFICATION,
        part=part,
        examples=400 if part is Part.CHOOSING else 1200,
        examples_of_part=400 if part is Part.CHOOSING else 1200,
        judging_examples=1200,
        levels=levels if part is Part.EVALUATION else (),
        metrics=(primary,),
        fidelity=Fidelity(sqnr_db=30, cosine=0.99, max_abs_error=0.1, mean_abs_error=0.01),
        latency=latency,
        size_bytes=size,
        peak_memory_bytes=memory,
        constraints=constraints,
        implausible=implausible,
        verdict=verdicts.overall(constraints),
        confidence=criteria.confidence,
        machine=world.analysis.machine,
    )


@dataclass
class Run:
    """A session that went to its end."""

    state: SessionState
    decisions: list[Decision]
    states: list[SessionState]
    """What the manager was asked, one for each decision."""
    most_active: int

    @property
    def last(self) -> Decision:
        return self.decisions[-1]

    @property
    def events(self) -> dict[str, str]:
        """Reasons by event key, as first told."""
        told: dict[str, str] = {}
        for decision in self.decisions:
            for event in decision.events:
                told.setdefault(event.key, event.reason)
        return told

    def candidate(self, key: str) -> Any:
        return next(candidate for candidate in self.last.candidates if candidate.key == key)

    @property
    def tried(self) -> list[StepRequest]:
        """Optimize steps of candidates, in the order asked for."""
        return [s.request for s in self.state.steps if s.request.candidate and s.request.kind is StepKind.OPTIMIZE]


@dataclass
class InMemoryPipeline:
    """Carries out what the manager asks for, as the real pipeline does: steps by key, each once."""

    world: World
    criteria: Criteria
    parallelism: int = 1
    seed: int = 0
    libraries: tuple[str, ...] = ()
    disabled: tuple[str, ...] = (PRUNE, WIDTH, DECOMPOSE, "torch-decompose", *CALIBRATION)
    """By default what is tried one at a time: most tests are about the search among the others."""
    edits: PlanEdits = NO_EDITS
    specs: Mapping[str, TechniqueSpec] = field(default_factory=catalogue)
    limit: int = 400
    learned: Learned = field(default_factory=Learned)
    """What the history says when the session starts."""

    def run(self) -> Run:
        manager = OptimizationManager(self.specs)
        draw = random.Random(self.seed)
        state = SessionState(
            criteria=self.criteria,
            model=self.world.model,
            dataset=self.world.dataset,
            seed=self.seed,
            parallelism=self.parallelism,
            libraries=self.libraries,
            disabled_techniques=self.disabled,
            edits=self.edits,
            learned=self.learned,
        )
        decisions: list[Decision] = []
        states: list[SessionState] = []
        most_active = 0
        while len(decisions) < self.limit:
            states.append(state)
            decision = manager.next(state)
            decisions.append(decision)
            if decision.verdict is not None or decision.failure is not None:
                return Run(state, decisions, states, most_active)
            state = accept(state, decision)
            active = [index for index, step in enumerate(state.steps) if step.status in ACTIVE]
            most_active = max(most_active, len(active))
            assert active, f"the manager waits for nothing: {decision!r}"
            state = self._finish(state, draw.choice(active))
        raise AssertionError(f"the session did not end within {self.limit} decisions")

    def _finish(self, state: SessionState, index: int) -> SessionState:
        done = self._carry_out(state.steps[index], state)
        steps = (*state.steps[:index], done, *state.steps[index + 1 :])
        worked_s = state.worked_s + self.world.takes_s(state.steps[index].request)
        return state.model_copy(update={"steps": steps, "worked_s": worked_s})

    def _carry_out(self, step: StepRecord, state: SessionState) -> StepRecord:
        request = step.request
        for name in (request.key, request.candidate, request.technique):
            if (
                name in self.world.failing and request.kind is not StepKind.EVALUATE
            ) or request.key in self.world.failing:
                code, sentence = (
                    self.world.failing[name or ""] if name in self.world.failing else self.world.failing[request.key]
                )
                return step.model_copy(update={"status": Status.FAILED, "error_code": code, "error": sentence})
        if request.technique in self.world.per_channel_crashes and request.parameters.get("per_channel"):
            failed = {"status": Status.FAILED, "error_code": "technique.failed", "error": "It crashed."}
            return step.model_copy(update=failed)
        result = self._result(request, state)
        return step.model_copy(
            update={"status": Status.COMPLETED, "result": result, "duration_s": self.world.takes_s(request)}
        )

    def _analysed(self, *, exported: bool) -> AnalysisReport:
        world = self.world.exported if exported else self.world
        assert world is not None, "what cannot be exported is not analysed"
        return world.analysis

    def _result(self, request: StepRequest, state: SessionState) -> dict[str, Any]:
        match request.kind:
            case StepKind.ANALYSE:
                return self._analysed(exported=request.parent is not None).model_dump(mode="json")
            case StepKind.PLAN:
                done = [step.request for step in state.steps if step.status is Status.COMPLETED]
                looked = any(one.kind is StepKind.ANALYSE and one.parent for one in done)
                learned = Learned.model_validate(request.parameters.get("learned", {}))
                plan = PlanningAgent(self.specs, Knowledge(learned=learned)).plan(
                    self.world.analysis,
                    self.criteria,
                    self.world.dataset,
                    exported=[self._analysed(exported=True)] if looked else [],
                    export_failures=request.parameters["export_failures"],
                    libraries=request.parameters["libraries"],
                    disabled=request.parameters["disabled_techniques"],
                    edits=PlanEdits.model_validate(request.parameters.get("edits", {})),
                )
                return plan.model_dump(mode="json")
            case StepKind.REFINE:
                asked = RefineParameters.model_validate(request.parameters)
                return propose(asked, state.seed).model_dump(mode="json")
            case StepKind.EVALUATE:
                truth = self.world.truth_of(_links_to(request, state))
                part = Part(request.parameters["part"])
                finalists = len(request.parameters.get("finalists", ("alone",)))
                if part is Part.CHOOSING and self.world.choosing_margin is not None:
                    truth = replace(truth, drop_margin=self.world.choosing_margin)
                if part is Part.EVALUATION:
                    more = self.world.unlucky.get(request.candidate or "", 0.0)
                    truth = replace(truth, drop_points=truth.drop_points + more)
                report = evaluation(self.world, truth, self.criteria, part=part, finalists=finalists)
                return report.model_dump(mode="json")
            case _:
                return {}


def _links_to(request: StepRequest, state: SessionState) -> list[StepRequest]:
    """The steps that made, one after the other, what a step reads."""
    by_key = {step.request.key: step.request for step in state.steps}
    links: list[StepRequest] = []
    last = by_key.get(request.parent or "")
    while last is not None:
        links.insert(0, last)
        last = by_key.get(last.parent or "")
    return links


def accept(state: SessionState, decision: Decision) -> SessionState:
    """The state once the pipeline has written a decision down: new requests are queued steps."""
    known = {step.request.key for step in state.steps}
    new = tuple(StepRecord(request=r, status=Status.QUEUED) for r in decision.requests if r.key not in known)
    return state.model_copy(update={"steps": (*state.steps, *new)})


# --- worlds ----------------------------------------------------------------------------------------------------------

CONVOLUTION_FACTORS = {
    (STATIC, "uint8", "int8"): 4.75,
    (STATIC, "int8", "int8"): 1.15,
    (STATIC, "uint8", "uint8"): 1.85,
    (STATIC, "uint16", "int8"): 0.58,
    (DYNAMIC, "", "int8"): 0.19,
    (DYNAMIC, "", "uint8"): 0.93,
    (FLOAT16, "", ""): 1.0,
}
PRODUCT_FACTORS = {
    (STATIC, "uint8", "int8"): 2.7,
    (STATIC, "int8", "int8"): 1.4,
    (STATIC, "uint8", "uint8"): 1.9,
    (DYNAMIC, "", "int8"): 2.9,
    (DYNAMIC, "", "uint8"): 2.5,
    (BLOCKS, "", "4"): 1.26,
    (BLOCKS, "", "8"): 1.4,
    (FLOAT16, "", ""): 0.95,
}


def resnet(**changes: Any) -> World:
    """A residual network of 20 convolutions, after FACTS measured on Fashion-MNIST."""
    convolutions = tuple(
        Layer(
            name=f"conv{n}",
            op_type="Conv",
            parameters=138_000,
            weight_bytes=552_000,
            time_share=0.95 / 20,
            sqnr_db=24.0 + n,
        )
        for n in range(20)
    )
    adds = tuple(
        Layer(name=f"add{n}", op_type="Add", parameters=0, weight_bytes=0, time_share=0.005, sqnr_db=35.0)
        for n in range(8)
    )
    head = Layer(name="gemm", op_type="Gemm", parameters=5130, weight_bytes=20_520, time_share=0.01, sqnr_db=38.0)
    world = World(
        layers=(*convolutions, *adds, head),
        size_bytes=11_160_000,
        factors=CONVOLUTION_FACTORS,
        sensitivity={"Conv": 20.0, "Add": 28.0, "Gemm": 38.0},
        latency_ms=1.03,
        fragile_operators={"Conv": 0.04},
    )
    return replace(world, **changes)


def minilm(**changes: Any) -> World:
    """A transformer of six layers with an embedding table of half its size."""
    layers: list[Layer] = [
        Layer(
            name="table",
            op_type="Gather",
            parameters=11_700_000,
            weight_bytes=46_800_000,
            time_share=0.01,
            sqnr_db=30.0,
        )
    ]
    for n in range(6):
        layers += [
            Layer(
                name=f"matmul{n}.{m}",
                op_type="MatMul",
                parameters=295_000,
                weight_bytes=1_180_000,
                time_share=0.8 / 36,
                sqnr_db=22.0 + m,
            )
            for m in range(6)
        ]
        layers += [
            Layer(name=f"mask{n}", op_type="Add", parameters=0, weight_bytes=0, time_share=0.01, sqnr_db=0.5),
            Layer(name=f"softmax{n}", op_type="Softmax", parameters=0, weight_bytes=0, time_share=0.01, sqnr_db=1.0),
            Layer(name=f"norm{n}", op_type="LayerNormalization", parameters=768, weight_bytes=3072, time_share=0.01),
        ]
    world = World(
        layers=tuple(layers),
        size_bytes=91_000_000,
        factors=PRODUCT_FACTORS,
        sensitivity={"MatMul": 13.0, "Gather": 25.0, "Add": 0.3, "Softmax": 0.6, "LayerNormalization": 9.0},
        fragile_operators={"Add": 33.0, "Softmax": 33.0, "LayerNormalization": 2.0, "MatMul": 0.2},
        latency_ms=10.9,
        drop_margin=0.3,
    )
    return replace(world, **changes)
