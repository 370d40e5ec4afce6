"""The audit events of a session: every decision of an agent, in a sentence with its numbers.

Each call returns all events that follow from the state. Their keys are stable, so the pipeline records each one once.
"""

from __future__ import annotations

from collections.abc import Iterator

from apps.agents.contracts.chain import Application, in_one_line
from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.state import AgentDecision, Closing, Outcome, Plan, Status, StepKind, StepRecord
from apps.agents.planning.repair import Stop
from apps.agents.session import halving
from apps.agents.session.candidates import Trial
from apps.agents.session.finalists import Finals
from apps.agents.session.overview import NO_EFFECT
from apps.agents.session.search import Search
from apps.agents.session.steps import LOST
from apps.agents.techniques.compatibility import format_label

ANALYSIS_AGENT, PLANNING_AGENT, EVALUATION_AGENT, MANAGER = (
    "AnalysisAgent",
    "PlanningAgent",
    "EvaluationAgent",
    "OptimizationManager",
)


_VERDICTS = {
    Outcome.IMPROVED: "selected",
    Outcome.UNCHANGED: "original stands",
    Outcome.NOT_MEASURED: "not measured",
    Outcome.INCONCLUSIVE: "inconclusive",
}


def events(search: Search, closing: Closing | None) -> Iterator[AgentDecision]:
    """The session's decisions so far, in their order. `closing` is `None` while the search goes on."""
    yield AgentDecision(key="analysed", agent=ANALYSIS_AGENT, action="analysed", reason=_in_words(search.analysis))
    for looked, exported in zip(search.steps.exported_analyses, search.exported, strict=True):
        key = f"analysed/{looked.request.parent}"
        reason = f"Exported to {format_label(exported.model.format)}: {_in_words(exported)}"
        yield AgentDecision(key=key, agent=ANALYSIS_AGENT, action="analysed", reason=reason)
    for key, failed in search.exports_failed.items():
        yield AgentDecision(key=f"rolled-back/{key}", agent=MANAGER, action="rolled back", subject=key, reason=failed)
    yield from _plan(search)
    yield from _refinements(search)
    for link, step in search.skipped_links:
        yield _skipped_link(link, step)
    yield from _made(search)
    for trial in search.trials:
        yield from _trial(trial)
    for key, sentence in search.against_baseline(closed=closing is not None).items():
        yield AgentDecision(
            key=f"compared/{key}", agent=EVALUATION_AGENT, action="compared", subject=key, reason=sentence
        )
    for chain in search.chains:
        outcome = search.repair_of(chain)
        if isinstance(outcome, Stop) and outcome.reason:
            root = chain[0].key
            yield AgentDecision(
                key=f"abandoned/{root}", agent=PLANNING_AGENT, action="abandoned", subject=root, reason=outcome.reason
            )
    if search.finals is not None:
        yield from _finals(search, search.finals)
    if closing is not None:
        yield from _closing(search, closing)


def _in_words(analysis: AnalysisReport) -> str:
    known = sum(layer.sqnr_db is not None for layer in analysis.layers)
    return (
        f"{len(analysis.layers)} layers, {analysis.model.size_bytes / 1e6:.2f} MB, "
        f"{analysis.latency.p50_ms:.3g} ms at batch {analysis.latency.batch_size} on {analysis.machine.cpu}; "
        f"sensitivity measured for {known} of them."
    )


def _plan(search: Search) -> Iterator[AgentDecision]:
    plan = search.plan
    yield AgentDecision(key="plan", agent=PLANNING_AGENT, action="planned", reason=plan.summary)
    yield from _edits(plan)
    for candidate in plan.candidates:
        action = "refined" if candidate.key in search.refined else "planned"
        yield AgentDecision(
            key=f"{action}/{candidate.key}",
            agent=PLANNING_AGENT,
            action=action,
            subject=candidate.key,
            reason=f"{in_one_line(candidate.steps)}. {candidate.reason}",
        )
    for number, omission in enumerate(plan.omitted, start=1):
        yield AgentDecision(
            key=f"omitted/{number}",
            agent=PLANNING_AGENT,
            action="left out",
            subject=omission.technique,
            reason=f"{omission.title}. {omission.reason}",
        )


def _edits(plan: Plan) -> Iterator[AgentDecision]:
    """What became of a member's edits, each with the keys of its candidates."""
    for number, one in enumerate(plan.edits, start=1):
        keys = f" ({listed(one.candidates)})" if one.candidates else ""
        yield AgentDecision(
            key=f"edited/{number}",
            agent=PLANNING_AGENT,
            action="edited" if one.applied else "edit not applied",
            subject=one.candidates[0] if len(one.candidates) == 1 else None,
            reason=f"{one.subject}{keys}: {one.reason}",
        )


def _refinements(search: Search) -> Iterator[AgentDecision]:
    """Why each chain was refined, and what came of it."""
    for one in search.refinements:
        key, around = one.step.request.key, one.parameters.around.key
        yield AgentDecision(
            key=f"refining/{key}", agent=MANAGER, action="refining", subject=around, reason=one.step.request.reason
        )
        why = f"Nothing is refined any more: {one.step.error or 'the proposals were not made'}"
        if one.step.status in LOST:
            yield AgentDecision(key=f"failed/{key}", agent=MANAGER, action="failed", subject=around, reason=why)
        elif one.result is not None and not one.result.proposals:
            why = f"{around} is not refined further: every value that may vary has been proposed."
            yield AgentDecision(key=f"exhausted/{key}", agent=MANAGER, action="left out", subject=around, reason=why)


def _made(search: Search) -> Iterator[AgentDecision]:
    """What was checked of each link of a chain that was made."""
    for key, step in search.steps.by_key.items():
        checks = step.result.get("checks") if step.status is Status.COMPLETED else None
        if step.request.kind is not StepKind.OPTIMIZE or not checks:
            continue
        spec = search.specs.get(step.request.technique or "")
        name = spec.label if spec else step.request.technique
        taken = " It was in the store already." if step.taken else ""
        yield AgentDecision(
            key=f"made/{key}",
            agent=MANAGER,
            action="made",
            subject=step.request.candidate or key,
            reason=f"{name}: {' '.join(checks)}{taken}",
        )


def _skipped_link(link: Application, step: StepRecord) -> AgentDecision:
    """The event of an optional link that chains skip, because its step failed or had nothing to change."""
    key, why = step.request.key, step.error or "it did not finish"
    nothing = step.error_code == NO_EFFECT
    action, what = ("left out", "has nothing to change here") if nothing else ("rolled back", "failed")
    reason = f"{link.title} {what}, so candidates skip it: {why}"
    return AgentDecision(key=f"rolled-back/{key}", agent=MANAGER, action=action, subject=key, reason=reason)


def _trial(trial: Trial) -> Iterator[AgentDecision]:
    key = trial.key
    if trial.planned.parent is not None:
        reason = f"{in_one_line(trial.planned.steps)}. {trial.planned.reason}"
        yield AgentDecision(key=f"repaired/{key}", agent=PLANNING_AGENT, action="repaired", subject=key, reason=reason)
    if (failure := trial.failure) is not None:
        action = "rolled back" if trial.rolled_back else "failed"
        yield AgentDecision(
            key=f"failed/{key}", agent=MANAGER, action=action, subject=key, reason=f"{key} {action}: {failure}"
        )
    elif trial.judgement is not None:
        if halved := halving.in_words(trial.report):
            action, reason = halved
            yield AgentDecision(
                key=f"{action}/{key}", agent=EVALUATION_AGENT, action=action, subject=key, reason=f"{key} {reason}"
            )
        action = "promising" if trial.judgement.accepted else "rolled back"
        yield AgentDecision(
            key=f"ranked/{key}",
            agent=EVALUATION_AGENT,
            action=action,
            subject=key,
            reason=f"{key} {action}: {trial.judgement.reason}",
        )


def _finals(search: Search, finals: Finals) -> Iterator[AgentDecision]:
    """Which candidates are judged and why, and the result of each."""
    named = listed(finals.keys)
    share = "alone" if len(finals.keys) == 1 else f"as {len(finals.keys)} that share the chance of error"
    yield AgentDecision(
        key="finalists",
        agent=MANAGER,
        action="finalists",
        reason=f"Of {len(search.judged)} measured candidates {named} {'is' if len(finals.keys) == 1 else 'are'} "
        f"judged, {share}: the highest ranked first, until one is proven.",
    )
    for key, ruling in finals.rulings(None, closed=False).items():
        action = "accepted" if ruling.stands else "rolled back"
        yield AgentDecision(
            key=f"judged/{key}",
            agent=EVALUATION_AGENT,
            action=action,
            subject=key,
            reason=f"{key} {action}: {ruling.reason}",
        )


def _closing(search: Search, closing: Closing) -> Iterator[AgentDecision]:
    if closing.budget:
        yield AgentDecision(
            key="budget",
            agent=MANAGER,
            action="budget spent",
            reason=f"No further candidate is tried: {closing.budget}",
        )
    for key, reason in closing.skipped.items():
        yield AgentDecision(
            key=f"skipped/{key}", agent=PLANNING_AGENT, action="left out", subject=key, reason=f"{key}: {reason}"
        )
    packed = search.steps.package
    if packed is not None and (finding := packed.result.get("finding")):
        reason = f"The package is delivered, but it was not proven to run: {finding}."
        yield AgentDecision(key="package", agent=MANAGER, action="packed untried", reason=reason)
    verdict = closing.verdict
    yield AgentDecision(
        key="verdict",
        agent=MANAGER,
        action=_VERDICTS[verdict.outcome],
        subject=verdict.candidate,
        reason=" ".join(text for text in (verdict.reason, verdict.advice) if text),
    )
