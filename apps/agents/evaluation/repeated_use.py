"""What it does to a session's verdict that earlier sessions were judged on the same examples.

Each verdict is right with its confidence by itself. That all of k are right has at least the probability
1 - k(1 - c) (Bonferroni), and c to the power of k if their mistakes are independent (Sidak, JASA 62 (1967) 626-633).
Both suppose that what is tried does not depend on earlier verdicts. Where it does, what is chosen fits these examples
better than others: Dwork, Feldman, Hardt, Pitassi, Reingold and Roth, "The reusable holdout", Science 349 (2015)
636-638; Blum and Hardt, "The Ladder", ICML 2015. Light: the web process reads it.
"""

from __future__ import annotations

import math

from apps.agents.contracts.criteria import HIGHEST_CONFIDENCE
from apps.agents.contracts.phrasing import number, ordinal
from apps.agents.contracts.values import Value


class RepeatedUse(Value):
    """The place of a session among those judged on one data set, and what remains of its confidence."""

    number: int
    """1 for the first."""
    confidence: float
    """Of each verdict by itself."""
    all_right: float
    """The chance that all verdicts so far are right, if their mistakes are independent."""
    all_right_at_least: float
    """Whatever their mistakes have to do with each other."""
    confidence_needed: float
    """Of each verdict, for all of them together to be right with `confidence`."""
    sentence: str
    advice: str = ""


def repeated_use(before: int, confidence: float) -> RepeatedUse:
    """Of a session that `before` others on the same data set came before, all at its `confidence`."""
    count = before + 1
    all_right, at_least = confidence**count, max(0.0, 1 - count * (1 - confidence))
    needed = confidence ** (1 / count)
    sentence = "This is the first session that is judged on these examples."
    advice = ""
    if before:
        sentence = (
            f"This is the {ordinal(count)} session that is judged on these examples. Each verdict alone is right with "
            f"{number(confidence * 100)} % confidence; {_all(count)} together with about {all_right * 100:.0f} %."
        )
        advice = (
            f"It is {at_least * 100:.0f} % at least, however their mistakes hang together, as long as what is tried "
            "does not follow from what earlier reports said. Where it does, it may fit these examples better than "
            "others. Before it matters, judge the result once on examples that no session has seen: upload fresh "
            "ones, or keep a part of the data as a data set of its own."
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
    """Rounded up to three decimals; nothing where criteria cannot ask for so much."""
    asked = math.ceil(needed * 1000 - 1e-9) / 1000
    if asked > HIGHEST_CONFIDENCE:
        return ""
    return (
        f" Or ask for a confidence of {asked:.3f} in each session, with which {_all(count)} together are right with "
        f"{number(confidence * 100)} %."
    )
