"""A session of many candidates in the middle of its search, to see what planning its next step costs."""

from __future__ import annotations

from apps.agents.contracts.chain import Application
from apps.agents.contracts.criteria import PROFILES, Budget
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import (
    CandidateRecord,
    Plan,
    Prediction,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
)
from apps.agents.planning.chains import application_of
from apps.agents.session.steps import evaluate_key, optimize_key
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import DATASET, GRAPH, PRUNE, STATIC, Truth, World, evaluation, resnet

CRITERIA = PROFILES["fastest"].model_copy(update={"budget": Budget(minutes=600, candidates=200)})
WORLD = resnet()


def large_session(candidates: int = 200, measured: int = 100) -> SessionState:
    """A session with so many planned candidates, of which the first `measured` were made and ranked. All cut channels;
    every second one is quantized after that."""
    records = [_record(number) for number in range(candidates)]
    plan = Plan(summary="Many shares.", candidates=tuple(records), omitted=())
    steps = [_done("analyse", StepKind.ANALYSE, WORLD.analysis.model_dump(mode="json"))]
    steps.append(_done("plan", StepKind.PLAN, plan.model_dump(mode="json"), parameters={"export_failures": {}}))
    for number, record in enumerate(records[:measured]):
        steps += _measured(record, number, WORLD)
    return SessionState(
        criteria=CRITERIA,
        model=WORLD.model,
        dataset=DATASET,
        seed=0,
        steps=tuple(steps),
        worked_s=20.0 * measured,
        parallelism=16,
        libraries=("onnx", "onnxruntime", "optuna"),
    )


def _record(number: int) -> CandidateRecord:
    share = round(0.3 + 0.4 * number / 1000, 4)
    links = [_link(PRUNE, macs_removed=share, multiple_of=16)]
    if number % 2:
        links += [_link(GRAPH), _link(STATIC, activation_type="uint8", weight_type="int8")]
    speedup = 2.0 + number / 100
    predicted = Prediction(
        speedup=speedup, size_ratio=2.0, metric_drop_points=0.3, risk="low", basis="Told.", minutes=0.5
    )
    return CandidateRecord(key=f"c{number + 1:03d}", steps=tuple(links), predicted=predicted, reason="One of many.")


def _link(technique: str, **parameters: object) -> Application:
    spec = catalogue()[technique]
    return application_of(spec, spec.resolve(parameters))


def _measured(record: CandidateRecord, number: int, world: World) -> list[StepRecord]:
    truth = Truth(2.0 + number / 100, 2.0, 0.3 + (number % 7) / 4)
    report = evaluation(world, truth, CRITERIA, part=Part.CHOOSING)
    made = _done(optimize_key(record.key), StepKind.OPTIMIZE, {}, record)
    told = {"part": "choosing"}
    return [made, _done(evaluate_key(record.key), StepKind.EVALUATE, report.model_dump(mode="json"), record, told)]


def _done(
    key: str,
    kind: StepKind,
    result: dict[str, object],
    record: CandidateRecord | None = None,
    parameters: dict[str, object] | None = None,
) -> StepRecord:
    given = parameters or (dict(record.parameters) if record else {})
    request = StepRequest(
        key=key,
        kind=kind,
        queue="cpu",
        reason="It was asked for.",
        candidate=record.key if record else None,
        technique=record.technique if record else None,
        parameters=given,
    )
    return StepRecord(request=request, status=Status.COMPLETED, result=result, duration_s=10.0)
