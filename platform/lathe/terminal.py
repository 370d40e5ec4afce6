"""A session as text for a terminal: progress as a line, the report as a table. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

from apps.agents.contracts.phrasing import MAY_BE_CHANCE, MINUS, duration, gains_in_words, slowdown_in_words
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import LatencyComparison
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.state import CandidateStatus, Status
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.progress import courses_of
from apps.optimization.waiting import waits_of

BAR_WIDTH = 30
NUMBER_COLUMNS = 7
Measured = tuple[Candidate, EvaluationReport]


def progress_line(session: OptimizationSession, width: int = 100) -> str:
    """A bar, the percentage, the current work and the estimated remaining time or wait, in at most
    `width` characters.
    """
    course = courses_of([session])[session.pk]
    done = round(course.progress * BAR_WIDTH)
    bar = "█" * done + "░" * (BAR_WIDTH - done)
    left = f", {duration(course.eta_s)} left" if course.eta_s is not None else ""
    wait = waits_of([session]).get(session.pk)
    left = f", waiting: {wait.sentence}" if wait else left
    running = session.steps.filter(status=Status.RUNNING).order_by("pk").first()
    doing = f" · {running.message}" if running is not None and running.message else ""
    line = f"{bar} {course.progress:4.0%}  {session.phase}{left}{doing}"
    return line if len(line) <= width else line[: width - 1] + "…"


def report(session: OptimizationSession, width: int = 100) -> str:
    """The original and every measured candidate, with the selected one marked, and the verdict."""
    candidates = list(session.candidates.select_related("evaluation__step").order_by("key"))
    measured = [
        (candidate, EvaluationReport.model_validate(candidate.evaluation.body))
        for candidate in candidates
        if hasattr(candidate, "evaluation")
    ]
    parts = []
    if measured:
        parts.append(comparison(measured))
        parts.append("\n".join(f"{candidate.key}: {candidate.title}{_whose(one)}" for candidate, one in measured))
        parts.append("\n".join(how_timed(candidate.key, one.latency) for candidate, one in measured))
    unmeasured = len(candidates) - len(measured)
    if unmeasured:
        parts.append(f"{unmeasured} more {'was' if unmeasured == 1 else 'were'} planned but not measured.")
    for candidate, evaluation in measured:
        if candidate.status == CandidateStatus.SELECTED:
            constraints = "\n".join(f"  {c.status:<13}{c.sentence}" for c in evaluation.constraints)
            parts.append(f"Limits for {candidate.key}:\n{constraints}")
    slow = [
        fill(f"{candidate.key}: {slowdown_in_words(one.slowdown)}", width, initial_indent="  ", subsequent_indent="  ")
        for candidate, one in measured
        if one.slowdown
    ]
    if slow:
        parts.append("Where slow candidates spend their time:\n" + "\n".join(slow))
    ended = list(session.steps.filter(status=Status.FAILED).order_by("pk"))
    for head, idle in (("Failed steps", False), ("Steps with nothing to change", True)):
        if lines := [_failure(step) for step in ended if step.had_nothing_to_change is idle]:
            parts.append(f"{head}:\n" + "\n".join(lines))
    parts.append("\n".join(fill(line, width) for line in _verdict(session).splitlines()))
    return "\n\n".join(parts)


def comparison(measured: Sequence[Measured]) -> str:
    """Candidates, each below the original on the same examples: test examples first, validation examples last."""
    groups: dict[tuple[bool, int], list[tuple[str, ...]]] = {}
    for candidate, one in measured:
        group = groups.setdefault((one.part is Part.CHOOSING, -one.examples), [_original(one)])
        group.append(_candidate(candidate, one))
    ordered = sorted(groups.items())
    head, rule, *lines = table([row for _, rows in ordered for row in rows], _head(measured[0][1])).splitlines()
    drawn = [head, rule]
    for (ranks, negative), rows in ordered:
        drawn.append(f"on {-negative:,} {'validation examples' if ranks else 'examples'}:")
        drawn += lines[: len(rows)]
        lines = lines[len(rows) :]
    return "\n".join(drawn)


def _whose(evaluation: EvaluationReport) -> str:
    """The sources of the speed-up, if the runtime has changed."""
    return f"; faster: {gains_in_words(evaluation.gains)}" if evaluation.gains else ""


def how_timed(key: str, latency: LatencyComparison) -> str:
    """The basis of the speed of candidate `key`: runs, processes, priority, and CPU time as a cross-check."""
    parts = [f"{latency.runs:,} runs, {latency.disturbed:,} of them disturbed"]
    parts.append(f"{latency.processes} processes" if latency.processes > 1 else "one process")
    if latency.priority:
        parts.append(latency.priority)
    if latency.cpu_speedup:
        parts.append(f"by CPU time {latency.cpu_speedup.value:.2f}×")
    busy = " Too busy: the speed-up is not known." if latency.busy else ""
    return f"{key} was timed in {'; '.join(parts)}.{busy}"


def table(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    """Columns as wide as needed. Text columns are left-aligned, numbers right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    drawn = []
    for line in lines:
        cells = [
            cell.rjust(widths[column]) if 0 < column <= NUMBER_COLUMNS else cell.ljust(widths[column])
            for column, cell in enumerate(line)
        ]
        drawn.append("  ".join(cells).rstrip())
    return "\n".join([drawn[0], "─" * max(map(len, drawn)), *drawn[1:]])


def _head(evaluation: EvaluationReport) -> tuple[str, ...]:
    metric = evaluation.primary
    unit = f" {metric.unit}" if metric.unit else ""
    return ("", f"{metric.label}{unit}", "change", "p50 ms", "faster", "MB", "smaller", "memory MB", "verdict")


def _original(evaluation: EvaluationReport) -> tuple[str, ...]:
    return (
        "original",
        f"{evaluation.primary.original.value:.2f}",
        "",
        f"{evaluation.latency.original.p50_ms:.3f}",
        "",
        f"{evaluation.size_bytes.original / 1e6:.2f}",
        "",
        f"{evaluation.peak_memory_bytes.original / 1e6:.0f}",
        "",
    )


def _candidate(candidate: Candidate, evaluation: EvaluationReport) -> tuple[str, ...]:
    speedup = evaluation.latency.speedup
    interval = f" ({speedup.low:.2f} to {speedup.high:.2f})" if speedup.low is not None and speedup.high else ""
    faster = "not known" if evaluation.latency.busy else f"{speedup.value:.2f}×{interval}"
    return (
        candidate.key,
        f"{evaluation.primary.candidate.value:.2f}",
        _change(evaluation.primary),
        f"{evaluation.latency.candidate.p50_ms:.3f}",
        faster,
        f"{evaluation.size_bytes.candidate / 1e6:.2f}",
        f"{evaluation.size_bytes.ratio:.2f}×",
        f"{evaluation.peak_memory_bytes.candidate / 1e6:.0f}",
        f"{_found(evaluation)}, {candidate.status}",
    )


def _found(evaluation: EvaluationReport) -> str:
    """The verdict on the limits. Validation examples prove nothing, so a candidate that holds on them is not judged."""
    unjudged = evaluation.part is Part.CHOOSING and evaluation.verdict is not Holds.VIOLATED
    return "not judged" if unjudged else str(evaluation.verdict)


def _change(metric: MetricComparison) -> str:
    """Candidate minus original: negative is lower. `unchanged` if chance explains it and a large change is excluded."""
    change = metric.change.value
    shown = f"{change:+.2f}".replace("-", MINUS) if change else ""
    if metric.unchanged:
        return f"unchanged ({shown})" if shown else "unchanged"
    return f"{shown} ({MAY_BE_CHANCE})" if metric.maybe_chance else shown


def _failure(step: SessionStep) -> str:
    """The step and its message, and for bugs in Lathe also the last line of the traceback."""
    bug = f" [{step.traceback.strip().splitlines()[-1]}]" if step.traceback.strip() else ""
    return f"  {step.key}: {step.error}{bug}"


def _verdict(session: OptimizationSession) -> str:
    if session.verdict and (headline := session.headline):
        lines = [f"{headline.sentence}.", session.verdict["reason"]]
        if unknown := session.verdict.get("speed_unknown"):
            lines.append(unknown)
        if choice := session.verdict.get("choice"):
            lines.append(choice["sentence"])
        if advice := session.verdict.get("advice"):
            lines.append(f"What to do: {advice}")
        return "\n".join([*lines, f"It {session.time_summary}."])
    return f"{session.get_status_display()}: {session.error or 'there is no verdict.'}"
