"""Successive halving: candidates are measured on growing portions of the validation examples.

A candidate goes on to the next portion unless its paired interval already lies beyond a limit. Each interval is as wide
as a group-sequential test requires (`apps.agents.measuring.statistics.group_sequential`), so that looking several times
does not drop more good candidates than looking once. All portions are run by one step: what a smaller portion has shown
is used again, and nothing is loaded twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.contracts.criteria import Constraints
from apps.agents.contracts.dataset_spec import COUNTING, MEANS, Metric, part_sizes
from apps.agents.contracts.phrasing import difference, difference_unit, listed, with_unit
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part

SAVES_FROM_S = 4.0
"""Portions are used if the original alone needs this long for all validation examples. That is what a measurement takes
besides examples and timing, so there is less to save below it."""
FEWEST_EXAMPLES = 1024
"""With fewer, the first portion would be too small for its interval, and all examples are used at once
(`apps.agents.measuring.statistics.group_sequential.shares_for`, which a process without numpy cannot import)."""


def saves_time(analysis: AnalysisReport, dataset: DatasetSummary) -> bool:
    """Whether so many examples of this model take long enough for portions to save time."""
    latency = analysis.latency
    each_s = latency.p50_ms / 1000 / max(1, latency.batch_size)
    examples = part_sizes(dataset.examples).choosing
    return examples >= FEWEST_EXAMPLES and examples * each_s >= SAVES_FROM_S


def can_rule_out(metric: Metric | None, limits: Constraints, outputs: int) -> bool:
    """Whether a portion can rule a candidate out of a model with so many `outputs`: by a metric that counts what is
    right or is a mean over examples, and limits on nothing else. Otherwise the evaluation uses all examples at once."""
    known = metric is None or metric in COUNTING | MEANS
    return known and limits.decided_early(several_outputs=outputs > 1)


def ranking_in_words(candidate: str, parameters: Mapping[str, Any]) -> str:
    """What a step does that ranks a candidate, for members."""
    if not parameters.get("in_portions"):
        return f"Compares {candidate} with the original on the validation examples."
    return (
        f"Compares {candidate} with the original on growing portions of the validation examples. It stops after a "
        "portion that rules the candidate out."
    )


def in_words(report: EvaluationReport | None) -> tuple[str, str] | None:
    """The action and the sentence of the audit event of a candidate that was measured in portions; `None` otherwise."""
    if report is None or report.part is not Part.CHOOSING or not report.looks:
        return None
    total, used = report.examples_of_part or report.examples, report.examples
    if used < total:
        drop = report.primary.drop
        unit = difference_unit(report.primary.unit)
        low, high = (difference(drop.value if end is None else end, unit) for end in (drop.low, drop.high))
        return "dropped", (
            f"dropped after {used:,} of {total:,} validation examples: its loss of {with_unit(drop.value, unit)} "
            f"[{low}, {high}] is beyond "
            "the limit with an interval that allows for every look, so the other examples could not change that."
        )
    earlier = listed([f"{look:,}" for look in report.looks[:-1]])
    return "promoted", f"promoted to all {total:,} validation examples: it was not ruled out after {earlier}."
