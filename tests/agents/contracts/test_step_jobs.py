"""A step becomes a job in one place, and what a handler needs to be told is never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.job import Job
from apps.agents.contracts.job_arguments import (
    AnalyseArguments,
    Arguments,
    EvaluateArguments,
    InspectDatasetArguments,
    InspectModelArguments,
    MatrixArguments,
    OptimizeArguments,
    PackageArguments,
    PlanArguments,
    RefineArguments,
    TrialsArguments,
)
from apps.agents.contracts.refinement import Dimension, Observed, RefineParameters
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.reports.selection import PairedOutcomes
from apps.agents.contracts.searching import SoFar, TrialCard
from apps.agents.contracts.state import Closing, Outcome, StepKind, StepRequest, Verdict
from apps.agents.contracts.step_jobs import HANDLERS, StepFacts, job_for
from tests.optimization import material

SPEC = DatasetSpec.model_validate({"kind": "npz", "task": "classification"})
CLOSING = Closing(verdict=Verdict(outcome=Outcome.UNCHANGED, reason="Nothing was fast enough."))
JUDGED = {"part": "evaluation", "finalists": ["c01"], "confidence": 0.95, "contenders": {"c01": 2.0}}
REFINED = RefineParameters(
    around=material.PLAN.candidates[0],
    dimensions=(Dimension(link=0, parameter="per_channel", choices=(True, False)),),
    observed=(Observed(candidate="c01", setting={"0.per_channel": True}, objectives={"speedup": 0.7, "drop": 0.2}),),
    count=2,
    best=2.0,
)
TIMED = (StepKind.ANALYSE, StepKind.EVALUATE, StepKind.MATRIX)
READ_BY: dict[StepKind, type[Arguments]] = {
    StepKind.ANALYSE: AnalyseArguments,
    StepKind.PLAN: PlanArguments,
    StepKind.OPTIMIZE: OptimizeArguments,
    StepKind.SUPERNET: OptimizeArguments,
    StepKind.TRIALS: TrialsArguments,
    StepKind.EVALUATE: EvaluateArguments,
    StepKind.REFINE: RefineArguments,
    StepKind.PACKAGE: PackageArguments,
    StepKind.MATRIX: MatrixArguments,
}
PARAMETERS: dict[StepKind, dict[str, Any]] = {
    StepKind.ANALYSE: {},
    StepKind.PLAN: {"libraries": ["onnx"], "disabled_techniques": [], "export_failures": {"onnx": "It failed."}},
    StepKind.OPTIMIZE: {"calibration_examples": 32},
    StepKind.SUPERNET: {"trials": 8},
    StepKind.TRIALS: {"parameters": {"trials": 8}, "portion": {"known": 4, "share": 1, "of": 2, "left_s": 3.5}},
    StepKind.EVALUATE: JUDGED,
    StepKind.REFINE: REFINED.model_dump(mode="json"),
    StepKind.PACKAGE: CLOSING.model_dump(mode="json"),
    StepKind.MATRIX: {"grid": {"batch_sizes": [1, 8], "threads": [1]}, "by": "emil@example.org"},
}


def facts(**changes: Any) -> StepFacts:
    """Everything that any kind of step may need."""
    known = {
        "seed": 7,
        "threads": 2,
        "measuring_cores": (3, 4),
        "original_format": "torch-export",
        "format": "onnx",
        "criteria": Criteria(),
        "dataset": SPEC,
        "quiet_wait_s": 5.0,
        "data": material.DATA,
        "analysis": material.ANALYSIS,
        "exported": (material.ANALYSIS,),
        "predicted_speedup": 3.0,
        "outcomes": {Part.CHOOSING: {"c01": PairedOutcomes(examples=8, lost=(1,), won=()), "c02": None}},
        "filename": "net.onnx",
        "summary": material.MODEL,
    }
    return StepFacts.model_validate(known | changes)


def request(kind: StepKind, **changes: Any) -> StepRequest:
    usual = {"key": "one", "kind": kind, "queue": "cpu", "reason": "Because.", "candidate": "c01"}
    return StepRequest.model_validate(
        usual | {"technique": "onnx-static-int8", "parameters": PARAMETERS[kind]} | changes
    )


def job(kind: StepKind, known: StepFacts, **changes: Any) -> Job:
    return job_for(request(kind, **changes), known, scratch=Path("scratch"), inputs={"model": Path("net.onnx")})


@pytest.mark.parametrize("kind", list(StepKind))
def test_what_a_job_is_told_survives_the_pipe_and_is_what_its_handler_reads(kind: StepKind) -> None:
    made = job(kind, facts())
    sent = Job.model_validate_json(made.model_dump_json())
    assert sent.handler == HANDLERS[kind]
    assert (sent.seed, sent.threads) == (7, 2)
    assert sent.inputs == {"model": Path("net.onnx")}
    read = READ_BY[kind].of(sent)
    assert read.plain() == made.arguments
    assert READ_BY[kind].model_validate(read.plain()) == read


@pytest.mark.parametrize("kind", list(StepKind))
def test_only_what_times_gets_the_cores_that_are_kept_for_it(kind: StepKind) -> None:
    assert job(kind, facts()).cores == ((3, 4) if kind in TIMED else ())


def test_a_finalist_is_judged_with_the_outcomes_of_all_and_ranking_goes_without() -> None:
    judged = EvaluateArguments.of(job(StepKind.EVALUATE, facts()))
    assert (judged.part, judged.candidate, judged.finalists) == (Part.EVALUATION, "c01", ("c01",))
    assert judged.outcomes[Part.CHOOSING].keys() == {"c01", "c02"}
    ranked = EvaluateArguments.of(job(StepKind.EVALUATE, facts(), parameters={"part": "choosing"}))
    assert (ranked.part, ranked.candidate, ranked.outcomes) == (Part.CHOOSING, None, {})


def test_a_step_of_a_search_is_told_what_the_others_found() -> None:
    cards = tuple(
        TrialCard(number=number, values=(8, 3), loss=0.5, latency_ms=1.0, parameters=9, macs=90) for number in (1, 2)
    )
    known = facts(so_far=SoFar(trials=cards, spent_s=2.0), made=cards[1:], inputs={"teacher": "onnx", "supernet": "x"})
    tries = TrialsArguments.of(job(StepKind.TRIALS, known))
    assert (tries.so_far.trials, tries.made, tries.portion.of) == (cards, cards[1:], 2)
    assert tries.inputs == {"teacher": "onnx"}  # The supernet is no model of its own.
    assert OptimizeArguments.of(job(StepKind.OPTIMIZE, known)).so_far.spent_s == 2.0


def test_the_package_is_told_how_the_session_ended() -> None:
    told = PackageArguments.of(job(StepKind.PACKAGE, facts()))
    assert (told.outcome, told.untried, told.headline) == (Outcome.UNCHANGED, None, None)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (StepKind.ANALYSE, "criteria"),
        (StepKind.ANALYSE, "dataset"),
        (StepKind.PLAN, "analysis"),
        (StepKind.PLAN, "data"),
        (StepKind.OPTIMIZE, "dataset"),
        (StepKind.EVALUATE, "criteria"),
        (StepKind.PACKAGE, "filename"),
    ],
)
def test_a_fact_that_is_needed_and_missing_is_an_error(kind: StepKind, missing: str) -> None:
    with pytest.raises(ValidationError):
        job(kind, facts(**{missing: None}))


@pytest.mark.parametrize(
    ("read_by", "arguments"),
    [
        (InspectModelArguments, {"limit_bytes": 10}),
        (OptimizeArguments, {"original_format": "onnx", "technique": "x", "dataset": SPEC}),
        (AnalyseArguments, {"format": "onnx", "criteria": {}, "dataset": SPEC}),
    ],
)
def test_a_format_that_is_missing_is_an_error_and_not_onnx(read_by: type[Arguments], arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="format"):
        read_by.model_validate(arguments)


def test_an_argument_that_no_handler_reads_is_an_error() -> None:
    with pytest.raises(ValidationError, match="speling"):
        InspectDatasetArguments.model_validate({"spec": SPEC, "speling": 1})
