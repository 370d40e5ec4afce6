"""A session on a PyTorch model as its rows stand at the end: exported, analysed twice, better in ONNX Runtime."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.analysis import Generation
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.reports.model import LanguageModel
from apps.agents.contracts.reports.optimization import OptimizationResult
from apps.agents.contracts.reports.runtimes import Gains
from apps.agents.contracts.state import CandidateStatus, Closing, Outcome, Status, StepKind, Verdict
from apps.models.models import ModelMetadata
from apps.models.storage import put_stream
from apps.optimization.lineage import chain_to
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.outcomes import keep_report
from tests.optimization import material

LANGUAGE = LanguageModel(
    architecture="LlamaForCausalLM",
    generative=True,
    context_length=256,
    vocabulary=32_000,
    tied_embeddings=True,
    embedding_parameters=60_000,
    tokenizer=True,
)
TORCH = material.MODEL.model_copy(
    update={"format": Format.TRANSFORMERS, "opset": None, "operators": {"Linear": 3}, "language": LANGUAGE}
)
GENERATION = Generation(prompt_tokens=128, prefill_ms=41.5, decode_ms_per_token=3.25, tokens_per_s=307.7)
CUT = "Rows have at most 256 tokens, and each belongs to one text: texts are not packed."
EAGER = material.ANALYSIS.model_copy(
    update={
        "model": TORCH,
        "latency": material.ANALYSIS.latency.model_copy(update={"p50_ms": 8.0}),
        "generation": GENERATION,
        "notes": (CUT,),
    }
)
HEADLESS = "The embedding table (60,000 weights, tied to the output head) stays in float32."
PERPLEXITY = MetricComparison(
    metric="perplexity",
    label="perplexity",
    unit="",
    higher_is_better=False,
    original=Estimate(value=46.712, low=45.0, high=48.5),
    candidate=Estimate(value=46.83, low=45.1, high=48.6),
    drop=Estimate(value=0.118, low=0.05, high=0.19),
    test="paired_bootstrap",
    p_value=0.01,
)


def worse_by(perplexity: float) -> EvaluationReport:
    drop = Estimate(value=perplexity, low=perplexity - 0.01, high=perplexity + 0.01)
    return material.evaluation().model_copy(
        update={"metrics": (PERPLEXITY.model_copy(update={"drop": drop}),), "notes": (CUT,)}
    )


MOVED = Gains(runtime="ONNX Runtime", runtime_speedup=2.0, runtime_size_ratio=1.0)
BOTH = MOVED.model_copy(update={"technique": "dynamic int8", "technique_speedup": 2.0, "technique_size_ratio": 4.0})


def faster_by(speedup: float, gains: Gains) -> EvaluationReport:
    return material.evaluation(speedup=speedup).model_copy(update={"gains": gains})


def finish(session: OptimizationSession) -> OptimizationSession:
    """Everything up to the verdict: dynamic int8 of the export is handed over."""
    ModelMetadata.record(session.version, TORCH)
    keep_report(_step(session, "analyse", StepKind.ANALYSE, result=_body(EAGER)))
    _made(session, "export", "onnx-export", b"exported")
    again = _step(session, "analyse-exported", StepKind.ANALYSE, parent_key="export", result=_body(material.ANALYSIS))
    keep_report(again)
    _step(session, "plan", StepKind.PLAN, result=_body(material.PLAN))
    _candidate(session, "c01", "onnx-export", parent="export", evaluation=faster_by(2.0, MOVED))
    _made(session, "prepare", "onnx-graph", b"prepared", parent_key="export")
    _made(session, "c02/optimize", "onnx-dynamic-int8", b"int8", parent_key="prepare", candidate_key="c02")
    _candidate(session, "c02", "onnx-dynamic-int8", parent="c02/optimize", evaluation=faster_by(4.0, BOTH))
    for key, technique, worse in (("c03", "torch-gptq", 0.3), ("c04", "torch-round-to-nearest", 0.1)):
        _made(session, f"{key}/optimize", technique, key.encode(), candidate_key=key, checks=(HEADLESS,))
        _candidate(session, key, technique, parent=f"{key}/optimize", evaluation=worse_by(worse))
    return hand_over(session, "c02", "c02/optimize")


def hand_over(session: OptimizationSession, candidate: str, maker: str) -> OptimizationSession:
    verdict = Verdict(outcome=Outcome.IMPROVED, candidate=candidate, reason=f"{candidate} is delivered.")
    closing = Closing(verdict=verdict).model_dump(mode="json")
    session.steps.filter(kind=StepKind.PACKAGE).delete()
    _step(session, "package", StepKind.PACKAGE, candidate_key=candidate, parent_key=maker, parameters=closing)
    row = OptimizationSession.objects.get(pk=session.pk)
    row.status, row.verdict, row.outcome = Status.COMPLETED, verdict.model_dump(mode="json"), Outcome.IMPROVED
    row.started_at = row.finished_at = timezone.now()
    row.save()
    return OptimizationSession.objects.get(pk=session.pk)


def _body(value: Any) -> dict[str, Any]:
    return value.model_dump(mode="json")


def _step(session: OptimizationSession, key: str, kind: StepKind, **fields: Any) -> SessionStep:
    return SessionStep.objects.create(session=session, key=key, kind=kind, status=Status.COMPLETED, **fields)


def _made(
    session: OptimizationSession,
    key: str,
    technique: str,
    content: bytes,
    *,
    checks: tuple[str, ...] = (),
    **fields: Any,
) -> None:
    model = TORCH if technique.startswith("torch") else material.MODEL
    result: OptimizationResult = material.RESULT.model_copy(
        update={"technique": technique, "model": model, **({"checks": checks} if checks else {})}
    )
    filename = "model.zip" if technique.startswith("torch") else "model.onnx"
    made = {"artifact": put_stream([content]), "artifact_filename": filename, "result": _body(result)}
    _step(session, key, StepKind.OPTIMIZE, technique=technique, **made, **fields)


def _candidate(
    session: OptimizationSession, key: str, technique: str, *, parent: str, evaluation: EvaluationReport
) -> None:
    Candidate.objects.create(
        session=session,
        key=key,
        **material.chain(*[(one.technique, f"Title of {one.technique}") for one in chain_to(session, parent)]),
        predicted=_body(material.PREDICTION),
        status=CandidateStatus.SELECTED if key == "c02" else CandidateStatus.ACCEPTED,
        reason="Holds every constraint.",
    )
    made = {"candidate_key": key, "technique": technique, "parent_key": parent, "result": _body(evaluation)}
    keep_report(_step(session, f"{key}/evaluate", StepKind.EVALUATE, **made))
