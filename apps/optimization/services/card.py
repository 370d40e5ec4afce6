"""The model card of what a session delivers, for the page, the API and the package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from apps.agents.contracts.phrasing import difference_unit
from apps.agents.contracts.reports.card import (
    CardData,
    CardFile,
    CardLimit,
    CardMetric,
    CardStep,
    CardTiming,
    ModelCard,
)
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import Estimate, Latency, Pair
from apps.agents.contracts.state import StepKind
from apps.agents.packaging.card import BYTES, RATIO, model_card
from apps.agents.techniques.artifact_format import runtime_of
from apps.agents.techniques.compatibility import format_label
from apps.models.cards import texts_of
from apps.models.models import ModelVersion
from apps.optimization.errors.results import NoCard
from apps.optimization.lineage import format_of
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.services.report import CandidateReport, SessionReport, report

PEAK_MEMORY = "peak_memory"


def card_text(
    session: OptimizationSession, packaging: SessionStep | None = None, finding: SessionReport | None = None
) -> str:
    """The card of the session's present decision, or that of the step `packaging`, as Markdown.

    `finding` is the report about it, if it is at hand. The members' sections are as they are now; a package has what
    they were when it was made. Raises `NoReport` and `NoCard`.
    """
    finding = finding or report(session, packaging)
    made = packaging or _latest(session)
    signed_by = made.result.get("signed_by") if made else None
    return model_card(card_of(session, finding, made, signed_by), finding.package_finding)


def _latest(session: OptimizationSession) -> SessionStep | None:
    return session.steps.filter(kind=StepKind.PACKAGE).order_by("-pk").first()


def card_of(
    session: OptimizationSession, finding: SessionReport, packaging: SessionStep | None, signed_by: str | None = None
) -> ModelCard:
    """The card of what `finding`, the report of the session or of its step `packaging`, delivers. Raises `NoCard`."""
    if session.compared is not None:
        raise NoCard()
    winner, original = finding.winner, _file(session.version)
    evaluation = winner.evaluation if winner else None
    recipe = recipe_of(session, packaging)
    libraries = {step.key: step.libraries for step in recipe.steps}
    return ModelCard(
        session=str(session.pk),
        decision=finding.decision,
        made_at=packaging.created_at if packaging else session.created_at,
        lathe=metadata.version("lathe"),
        outcome=finding.outcome,
        headline=finding.verdict.headline.sentence if finding.verdict.headline else finding.outcome.value,
        reason=finding.verdict.reason,
        model=_delivered(session, winner) if winner else original,
        original=original,
        student=_file(session.student) if session.student and recipe.student else None,
        inputs=finding.model_summary.inputs,
        outputs=finding.model_summary.outputs,
        parameters=finding.model_summary.parameters,
        steps=tuple(
            CardStep(
                title=link.title,
                technique=link.technique,
                parameters=link.parameters,
                libraries=libraries.get(link.step or "", {}),
            )
            for link in (winner.steps if winner else ())
        ),
        metrics=tuple(_metrics_of(evaluation) if evaluation else _metrics_of_original(finding)),
        confidence=evaluation.confidence if evaluation else finding.criteria.confidence,
        limits=_limits(evaluation),
        data=_data(session, finding, evaluation),
        machine=evaluation.machine if evaluation else finding.analysis.machine if finding.analysis else None,
        timing=_timing(evaluation, finding),
        warnings=tuple(_warnings(finding, evaluation)),
        texts=texts_of(session.version.model),
        readme=session.version.model.readme,
        signed_by=signed_by,
    )


def _limits(evaluation: EvaluationReport | None) -> tuple[CardLimit, ...]:
    verdicts = evaluation.constraints if evaluation else ()
    return tuple(CardLimit(sentence=one.sentence, status=one.status) for one in verdicts)


def _file(version: ModelVersion) -> CardFile:
    made = format_of(version)
    return CardFile(
        name=str(version),
        sha256=version.blob_id,
        size_bytes=version.blob.size_bytes,
        format=format_label(made),
        runtime=runtime_of(made),
    )


def _delivered(session: OptimizationSession, winner: CandidateReport) -> CardFile:
    return CardFile(
        name=f"{session.version.model.name}: {winner.title}",
        sha256=winner.digest or winner.last.digest,
        size_bytes=winner.size_bytes or winner.last.size_bytes,
        format=format_label(winner.format),
        runtime=winner.runtime,
    )


# --- what was measured -----------------------------------------------------------------------------------------------


def _metrics_of(evaluation: EvaluationReport) -> Iterator[CardMetric]:
    """The delivered candidate beside its original."""
    for one in evaluation.metrics:
        yield CardMetric(
            key=one.metric,
            label=one.label,
            unit=one.unit,
            original=one.original,
            delivered=one.candidate,
            change=one.change,
            change_unit=difference_unit(one.unit),
        )
    if (agreement := evaluation.fidelity.agreement) is not None:
        yield CardMetric(
            key="agreement", label="Equal predictions", unit="%", original=None, delivered=agreement, change=None
        )
    yield from _speed(evaluation)
    yield _bytes("size", "Size of the model", evaluation.size_bytes)
    yield _bytes(PEAK_MEMORY, "Peak memory of a run", evaluation.peak_memory_bytes)


def _speed(evaluation: EvaluationReport) -> Iterator[CardMetric]:
    """Nothing if the machine was too busy to time the models: what was seen then is a guess."""
    latency = evaluation.latency
    if latency.busy:
        return
    delivered = latency.candidate_p50_ms or Estimate(value=latency.candidate.p50_ms)
    original = Estimate(value=latency.original.p50_ms)
    yield _latency(original, delivered, latency.speedup)
    yield _throughput(latency.candidate, latency.original)


def _latency(original: Estimate | None, delivered: Estimate, speedup: Estimate | None = None) -> CardMetric:
    return CardMetric(
        key="latency_p50",
        label="Median latency",
        unit="ms",
        original=original,
        delivered=delivered,
        change=speedup,
        change_unit=RATIO,
    )


def _throughput(delivered: Latency, original: Latency | None = None) -> CardMetric:
    return CardMetric(
        key="throughput",
        label="Throughput",
        unit="examples/s",
        original=Estimate(value=original.throughput_per_s) if original else None,
        delivered=Estimate(value=delivered.throughput_per_s),
    )


def _bytes(key: str, label: str, pair: Pair) -> CardMetric:
    return CardMetric(
        key=key,
        label=label,
        unit=BYTES,
        original=Estimate(value=pair.original),
        delivered=Estimate(value=pair.candidate),
        change=Estimate(value=pair.ratio),
        change_unit=RATIO,
    )


def _metrics_of_original(finding: SessionReport) -> Iterator[CardMetric]:
    """The original alone, as far as anything was measured."""
    measured = next((one.evaluation for one in finding.candidates if one.evaluation), None)
    for one in measured.metrics if measured else ():
        yield CardMetric(key=one.metric, label=one.label, unit=one.unit, original=None, delivered=one.original)
    if (analysis := finding.analysis) is not None:
        yield _latency(None, Estimate(value=analysis.latency.p50_ms))
        yield _throughput(analysis.latency)
        memory = Estimate(value=analysis.peak_memory_bytes)
        yield CardMetric(key=PEAK_MEMORY, label="Peak memory of a run", unit=BYTES, original=None, delivered=memory)


def _data(session: OptimizationSession, finding: SessionReport, evaluation: EvaluationReport | None) -> CardData:
    measured = evaluation or next((one.evaluation for one in finding.candidates if one.evaluation), None)
    return CardData(
        name=finding.dataset,
        sha256=finding.dataset_digest,
        task=finding.dataset_summary.task,
        examples=finding.dataset_summary.examples,
        measured_on=measured.examples if measured else None,
        judged=measured is not None and measured.part is Part.EVALUATION,
        notes=finding.dataset_summary.notes,
    )


def _timing(evaluation: EvaluationReport | None, finding: SessionReport) -> CardTiming | None:
    timed = evaluation.latency.candidate if evaluation else finding.analysis.latency if finding.analysis else None
    if timed is None:
        return None
    runs = evaluation.latency.runs or timed.runs if evaluation else timed.runs
    return CardTiming(batch_size=timed.batch_size, threads=timed.threads, runs=runs)


def _warnings(finding: SessionReport, evaluation: EvaluationReport | None) -> Iterator[str]:
    """What is not proven, not known, or lost beyond the limits, in sentences."""
    verdict = finding.verdict
    if verdict.speed_unknown:
        yield verdict.speed_unknown
    yield from (f"Not proven: {sentence}" for sentence in verdict.inconclusive)
    yield from (one.sentence for one in (evaluation.findings if evaluation else ()))
    yield from (evaluation.notes if evaluation else ())
    yield from (finding.analysis.suspicions if finding.analysis else ())
    if finding.use is not None and finding.use.advice:
        yield finding.use.sentence
