"""What an evaluation shows in addition to its verdicts, in sentences: a group that loses, a class that collapses,
churn.

On changed predictions behind an equal accuracy: Milani Fard, Cormier, Canini and Gupta, "Launch and iterate: reducing
prediction churn", NIPS 2016.

Uses only the report's own numbers, so it needs no arrays. Each finding is corrected for the number of comparisons of
its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apps.agents.contracts.dataset_spec import METRICS, Metric
from apps.agents.contracts.phrasing import difference_unit, interval, number, with_unit
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.metrics import ClassComparison, Finding, FindingKind, Flips
from apps.agents.measuring.statistics.power import binomial_cdf

MOST_OF_A_KIND = 10
COLLAPSED = 0.5
"""A class that keeps less than this share of its recall is reported as collapsed."""
CHURN_TOLERATED = 0.05
"""Share of predictions that may change beyond what the drop explains; most compressed models change fewer."""


def findings(report: EvaluationReport) -> tuple[Finding, ...]:
    """Groups and classes that lose, and churn. Each is significant; the most certain comes first."""
    groups = list(_groups(report))
    named = {one.subject for one in groups}  # Classes may be the groups.
    classes = [one for one in _classes(report.classes, report.confidence) if one.subject not in named]
    return (
        *_shortened(groups, "groups"),
        *_shortened(classes, "classes"),
        *_churn(report.flips, report.confidence),
    )


def _shortened(found: list[Finding], what: str) -> list[Finding]:
    found.sort(key=lambda one: one.p_value)
    shown, more = found[:MOST_OF_A_KIND], len(found) - MOST_OF_A_KIND
    if more > 0:
        last = shown[-1]
        shown[-1] = last.model_copy(update={"sentence": f"{last.sentence} {more:,} more {what} lose beyond chance."})
    return shown


def _groups(report: EvaluationReport) -> Iterator[Finding]:
    primary, confidence, groups = report.primary, report.confidence, report.groups
    spec = METRICS[Metric(report.group_metric or primary.metric)]
    unit = difference_unit(primary.unit if spec.metric == primary.metric else spec.unit)
    verb, plural = ("loses", "lose") if spec.higher_is_better else ("gets worse by", "get worse by")
    comparable = report.group_metric == primary.metric and primary.drop.value > 0
    whole = f" All examples together {plural} {with_unit(primary.drop.value, unit)}." if comparable else ""
    for one in groups:
        change = one.drop.negated() if spec.higher_is_better else one.drop
        if one.drop.value > 0 and one.p_corrected <= 1 - confidence:
            yield Finding(
                kind=FindingKind.GROUP,
                subject=one.group,
                sentence=f"The group {one.group} {verb} {with_unit(one.drop.value, unit)} of {spec.label}"
                f"{interval(change, confidence, unit)} on {one.examples:,} examples "
                f"({_corrected(one.p_corrected, len(groups), 'groups')}).{whole}",
                p_value=one.p_corrected,
            )


def _classes(classes: Sequence[ClassComparison], confidence: float) -> Iterator[Finding]:
    for one in classes:
        if one.p_corrected is None or one.p_corrected > 1 - confidence or one.candidate_recall >= one.original_recall:
            continue
        verb = "collapses" if one.candidate_recall < COLLAPSED * one.original_recall else "loses"
        yield Finding(
            kind=FindingKind.CLASS,
            subject=one.label,
            sentence=f"The class {one.label} {verb}: its recall falls from {number(one.original_recall)} to "
            f"{number(one.candidate_recall)} % on {one.examples:,} examples "
            f"({_corrected(one.p_corrected, len(classes), 'classes')}).",
            p_value=one.p_corrected,
        )


def _churn(flips: Flips | None, confidence: float) -> Iterator[Finding]:
    """Churn by the exact binomial test: more predictions change than the drop explains and `CHURN_TOLERATED` allows.

    A drop of d examples needs at least d changed predictions. The rest changes without any effect on the metric.
    """
    if flips is None:
        return
    examples = flips.both_right + flips.both_wrong + flips.lost + flips.won
    unexplained = flips.changed - abs(flips.lost - flips.won)
    p_value = max(0.0, 1.0 - binomial_cdf(unexplained - 1, examples, CHURN_TOLERATED))
    if unexplained <= CHURN_TOLERATED * examples or p_value > 1 - confidence:
        return
    share = 100 * flips.changed / examples
    net = 100 * abs(flips.lost - flips.won) / examples
    yield Finding(
        kind=FindingKind.CHURN,
        subject="predictions",
        sentence=f"{number(share)} % of the predictions changed ({flips.changed:,} of {examples:,}), but the accuracy "
        f"moved by only {with_unit(net, 'points')}: {flips.lost:,} answers were right and are now wrong, {flips.won:,} "
        "the other way round. Users of the original will notice different answers.",
        p_value=p_value,
    )


def _corrected(p_value: float, number_of: int, what: str) -> str:
    p_text = "p < 0.0001" if p_value < 0.0001 else f"p = {number(p_value, 4)}"
    return f"{p_text}, corrected for {number_of:,} {what}"
