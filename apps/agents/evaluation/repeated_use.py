"""How earlier sessions on the same examples affect a session's verdict.

Each verdict alone is right with its confidence c. All of k are right with a probability of at least 1 - k(1 - c)
(Bonferroni), and of c to the power of k if their errors are independent (Sidak, JASA 62 (1967) 626-633). Both assume
that what is tried does not depend on earlier verdicts. If it does, the chosen candidate fits these examples better than
others: Dwork, Feldman, Hardt, Pitassi, Reingold and Roth, "The reusable holdout", Science 349 (2015) 636-638; Blum and
Hardt, "The Ladder", ICML 2015. Light enough for the web process.
"""

from __future__ import annotations

import math

from apps.agents.contracts.criteria import HIGHEST_CONFIDENCE
from apps.agents.contracts.phrasing import number, ordinal
from apps.agents.contracts.values import Value


class RepeatedUse(Value):
    """A session's place among those judged on one data set, and its remaining confidence."""

    number: int
    """1 for the first session."""
    confidence: float
    """Confidence of each verdict alone."""
    all_right: float
    """The probability that all verdicts so far are right, if their errors are independent."""
    all_right_at_least: float
    """The same probability without any assumption about their errors: a lower bound."""
    confidence_needed: float
    """The confidence that each verdict needs for all of them together to be right with `confidence`."""
    sentence: str
    advice: str = ""


def repeated_use(before: int, confidence: float) -> RepeatedUse:
    """For a session after `before` others on the same data set, all at its `confidence`."""
    count = before + 1
    all_right, at_least = confidence**count, max(0.0, 1 - count * (1 - confidence))
    needed = confidence ** (1 / count)
    sentence = "This is the first session judged on these examples."
    advice = ""
    if before:
        sentence = (
            f"This is the {ordinal(count)} session judged on these examples. Each verdict alone is right with "
            f"{number(confidence * 100)} % confidence; {_all(count)} together with about {all_right * 100:.0f} %."
        )
        advice = (
            f"It is at least {at_least * 100:.0f} %, however their errors are related, as long as what is tried does "
            "not depend on earlier reports. If it does, the result may fit these examples better than others. Before "
            "relying on it, judge the result once on examples that no session has seen: upload new ones, or set "
            "aside part of the data as a separate data set."
            f"{_confidence_to_ask_for(needed, count, confidence)}"
        )
    return RepeatedUse(
        number=count,
        confidence=confidence,
        all_right=all_right,
        all_right_at_least=at_least,
        confidence_needed=needed,
        sentence=sentence,
        advice=advice,
    )


def _all(count: int) -> str:
    return "both" if count == 2 else f"all {count:,}"


def _confidence_to_ask_for(needed: float, count: int, confidence: float) -> str:
    """Rounded up to three decimals; empty if the criteria do not allow such a high confidence."""
    asked = math.ceil(needed * 1000 - 1e-9) / 1000
    if asked > HIGHEST_CONFIDENCE:
        return ""
    return (
        f" Alternatively, require a confidence of {asked:.3f} in each session; then {_all(count)} together are right "
        f"with {number(confidence * 100)} %."
    )
