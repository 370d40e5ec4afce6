"""Judging one more candidate on the test examples after a session's verdict: what the additional look costs.

The finalists have shared the member's chance of error. A candidate that is judged later was chosen with their results
in view, so it is held to the strictest share: with n finalists and k looks since, its intervals have the confidence
that n + k finalists would share (Bonferroni). It never gets what a proven finalist no longer needs (Holm), because that
was not planned before the looks. What all verdicts of the session are together is said with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.phrasing import difference_unit, number, ordinal
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import Choice
from apps.agents.evaluation.selection import Judgement
from apps.agents.measuring.statistics.certainty import shared_confidence
from apps.agents.session.finalists import Finals, in_words, judged_after
from apps.agents.session.overview import Overview


def sharing_of(finals: Finals | None, looks: int) -> int:
    """How many share the chance of error at the look number `looks` after the finalists."""
    return (len(finals.keys) if finals else 0) + looks


def all_right_at_least(confidence: float, finalists: int, looks: int) -> float:
    """A lower bound of the probability that every verdict of a session is right: that on its finalists, and that of
    each of the `looks` after them (Bonferroni). Without finalists, the first look is the first verdict."""
    error = 1 - confidence
    spent = (error if finalists else 0.0) + sum(error / (finalists + look) for look in range(1, looks + 1))
    return max(0.0, 1 - spent)


@dataclass(frozen=True)
class FurtherLook:
    """A candidate that was judged on the test examples after the manager's verdict."""

    key: str
    report: EvaluationReport
    """Its evaluation on the test part, at the confidence that its look leaves."""
    looks: int
    """Which look it is, from 1 on."""
    earlier: tuple[str, ...]
    """The candidates of the looks before."""
    overview: Overview

    @property
    def criteria(self) -> Criteria:
        return self.overview.state.criteria

    @property
    def sharing(self) -> int:
        return sharing_of(self.overview.finals, self.looks)

    @property
    def judgement(self) -> Judgement:
        return judged_after(self.overview.by_key[self.key].report, self.report, self.criteria)

    @property
    def choice(self) -> Choice:
        """The cost of the choice, this look included."""
        finals, measured = self.overview.finals, [one.report for one in self.overview.trials if one.report is not None]
        keys = (*(finals.keys if finals else ()), *self.earlier, self.key)
        alone = next((level.drop for level in self.report.levels if level.sharing == 1), None)
        choice = Choice(
            tried=len(measured),
            choosing_examples=max(one.examples for one in measured),
            finalists=tuple(dict.fromkeys(keys)),
            judged=(len(finals.judged) if finals else 0) + self.looks,
            judging_examples=self.report.examples,
            sharing=self.sharing,
            confidence=shared_confidence(self.criteria.confidence, self.sharing),
            margin_alone=_half(alone) if alone else None,
            margin=_half(self.report.primary.drop),
            unit=difference_unit(self.report.primary.unit),
            contest=self.report.contest,
            sentence="",
        )
        return choice.model_copy(update={"sentence": f"{in_words(choice)} {self._together}"})

    @property
    def _together(self) -> str:
        finals = self.overview.finals
        finalists = len(finals.keys) if finals else 0
        together = all_right_at_least(self.criteria.confidence, finalists, self.looks)
        return (
            f"It is the {ordinal(self.looks)} look at these examples after the manager's decision, so it is held to "
            f"the interval of {self.sharing} that share the chance of error. All verdicts of this session together are "
            f"right with at least {number(100 * together)} %."
        )


def further_keys(finals: Finals | None, earlier: Sequence[str], key: str) -> list[str]:
    """The candidates that share the chance of error when `key` is judged, one entry for each look."""
    return [*(finals.keys if finals else ()), *earlier, key]


def _half(drop: Estimate) -> float | None:
    if drop.low is None or drop.high is None or drop.low == drop.high:
        return None
    return (drop.high - drop.low) / 2
