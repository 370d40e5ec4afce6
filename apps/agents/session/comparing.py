"""A comparison: a session that optimizes nothing and judges one given version against the original.

    analyse the original → judge the compared version on the test part → verdict

The version is measured and judged as a finalist of an optimization is, but nothing was chosen, so it alone has the
member's chance of error. It need not be better than the original: it has to hold the limits of the criteria. As in
`OptimizationManager`, the decision depends only on the state.
"""

from __future__ import annotations

from apps.agents.contracts.chain import COMPARED, Application
from apps.agents.contracts.phrasing import capitalized, listed, with_full_stop
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import (
    AgentDecision,
    CandidateRecord,
    CandidateStatus,
    Decision,
    Headline,
    Miss,
    Outcome,
    Phase,
    Prediction,
    SessionState,
    Status,
    StepKind,
    StepRecord,
    StepRequest,
    Tone,
    Verdict,
)
from apps.agents.evaluation.inconclusive import WHEN_BUSY, speed_unknown
from apps.agents.evaluation.selection import SPEED_CONSTRAINTS
from apps.agents.session.preparation import measuring_queue
from apps.agents.session.steps import ANALYSE, LOST, Steps, judge_key, starting_from
from apps.agents.techniques.catalogue import Risk

KEY = "c01"
AGENT = "EvaluationAgent"
_OUTCOMES = {
    Holds.HOLDS: Outcome.PROVEN,
    Holds.VIOLATED: Outcome.VIOLATED,
    Holds.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}
_STANDINGS = {
    Outcome.PROVEN: CandidateStatus.SELECTED,
    Outcome.VIOLATED: CandidateStatus.REJECTED,
    Outcome.INCONCLUSIVE: CandidateStatus.ACCEPTED,
}
_TONES = {Outcome.PROVEN: Tone.GOOD, Outcome.VIOLATED: Tone.BAD, Outcome.INCONCLUSIVE: Tone.OPEN}


def comparison(state: SessionState) -> Decision:
    """The next decision of a comparison. A failed step ends it, because nothing else could be tried."""
    steps = Steps.of(state)
    if (lost := next((step for step in state.steps if step.status in LOST), None)) is not None:
        key = lost.request.key
        failure = (lost.error_code or f"{key}.{lost.status.value}", lost.error or f"The step {key} {lost.status}.")
        return _decision(Phase.EVALUATING if key != ANALYSE else Phase.ANALYSING, 0.0, failure=failure)
    if steps.completed(ANALYSE) is None:
        return _decision(Phase.ANALYSING, 0.0, () if steps.get(ANALYSE) else (_analyse(state),))
    judged = steps.get(judge_key(KEY))
    if judged is None or judged.status is not Status.COMPLETED:
        return _decision(Phase.EVALUATING, 0.3, () if judged else (_judge(state),))
    return _ended(judged)


def _ended(judged: StepRecord) -> Decision:
    verdict = verdict_on(EvaluationReport.model_validate(judged.result))
    event = AgentDecision(key="verdict", agent=AGENT, action=verdict.outcome.value, subject=KEY, reason=verdict.reason)
    record = _record(_STANDINGS[verdict.outcome], verdict.reason)
    return Decision(phase=Phase.EVALUATING, progress=1.0, candidates=(record,), events=(event,), verdict=verdict)


def _decision(
    phase: Phase,
    progress: float,
    requests: tuple[StepRequest, ...] = (),
    failure: tuple[str, str] | None = None,
) -> Decision:
    status = CandidateStatus.FAILED if failure else CandidateStatus.RUNNING
    reason = failure[1] if failure else "It is compared with the original."
    record = _record(status if phase is Phase.EVALUATING else CandidateStatus.PLANNED, reason)
    return Decision(phase=phase, progress=progress, requests=requests, candidates=(record,), failure=failure)


def _record(status: CandidateStatus, reason: str) -> CandidateRecord:
    """The compared version as the session's only candidate. Nothing is predicted of it."""
    basis = "Nothing is predicted: both versions were given."
    predicted = Prediction(speedup=1.0, size_ratio=1.0, metric_drop_points=0.0, risk=Risk.LOW.value, basis=basis)
    link = Application(technique=COMPARED, parameters={}, title="The compared version")
    return CandidateRecord(key=KEY, steps=(link,), predicted=predicted, status=status, reason=reason)


def _analyse(state: SessionState) -> StepRequest:
    return StepRequest(
        key=ANALYSE,
        kind=StepKind.ANALYSE,
        queue=measuring_queue(state.criteria),
        reason="Finds out how the original takes the data. Its layers' sensitivity does not matter here.",
        parameters={"sensitivity_budget_s": 0.0},
    )


def _judge(state: SessionState) -> StepRequest:
    return StepRequest(
        key=judge_key(KEY),
        kind=StepKind.EVALUATE,
        queue=measuring_queue(state.criteria),
        reason="Measures both versions on the same test examples, and judges the compared one by the limits.",
        candidate=KEY,
        parameters={"part": Part.EVALUATION.value},
        parents=starting_from(COMPARED),
    )


# --- the verdict -----------------------------------------------------------------------------------------------------


def verdict_on(report: EvaluationReport) -> Verdict:
    """What the evaluation of the compared version says about the limits. Only what is proven counts as proven, whatever
    the criteria tolerate in an optimization. Without a limit that applies, nothing is decided.
    """
    outcome = _OUTCOMES[report.verdict] if report.constraints else Outcome.INCONCLUSIVE
    open_ones = [one for one in report.constraints if one.status is Holds.INCONCLUSIVE]
    misses = [one for one in report.constraints if one.status is not Holds.HOLDS]
    busy = report.latency.busy
    return Verdict(
        outcome=outcome,
        candidate=KEY if outcome is Outcome.PROVEN else None,
        binding=next((one.constraint for one in misses if one.status is Holds.VIOLATED), None),
        reason=_reason(report, misses),
        misses=tuple(Miss(candidate=KEY, constraint=one.constraint, sentence=one.sentence) for one in misses),
        inconclusive=tuple(map(_open_sentence, open_ones)),
        advice=_advice(open_ones, busy=busy) if outcome is Outcome.INCONCLUSIVE else None,
        speed_unknown=speed_unknown(report.latency) if busy else None,
        timed_runs=report.latency.runs,
        disturbed_runs=report.latency.disturbed,
        headline=Headline(tone=_TONES[outcome], sentence=_headline(outcome, report)),
    )


def _reason(report: EvaluationReport, misses: list[ConstraintVerdict]) -> str:
    shown = misses or list(report.constraints)
    if not shown:
        return "No limit of the criteria applies to this model and data set, so nothing could be proven."
    return " ".join(_open_sentence(one) for one in shown)


def _open_sentence(verdict: ConstraintVerdict) -> str:
    """One limit in a sentence, with what would decide it if it is open."""
    sentence = with_full_stop(verdict.sentence)
    if verdict.status is not Holds.INCONCLUSIVE or not verdict.to_decide:
        return sentence
    return f"{sentence} {with_full_stop(verdict.to_decide)}"


def _headline(outcome: Outcome, report: EvaluationReport) -> str:
    counted = {status: sum(one.status is status for one in report.constraints) for status in Holds}
    everything = len(report.constraints)
    if not everything:
        return "No limit applies"
    if outcome is Outcome.PROVEN:
        return "Every limit is proven" if everything > 1 else "The limit is proven"
    status, words = (Holds.VIOLATED, "violated") if outcome is Outcome.VIOLATED else (Holds.INCONCLUSIVE, "not decided")
    return f"{counted[status]} of {everything} limit{'s' * (everything != 1)} {words}"


def _advice(open_ones: list[ConstraintVerdict], *, busy: bool) -> str:
    needed = [one.to_decide for one in open_ones if one.to_decide]
    sentences = [with_full_stop(capitalized(one)) for one in dict.fromkeys(needed)]
    if busy and any(one.constraint in SPEED_CONSTRAINTS for one in open_ones):
        sentences.append(WHEN_BUSY)
    if not sentences:
        names = listed(sorted({one.constraint for one in open_ones}))
        sentences.append(f"Compare on more examples, or choose other limits{f' than {names}' if names else ''}.")
    return " ".join(sentences)
