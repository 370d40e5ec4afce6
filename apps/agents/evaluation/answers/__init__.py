"""The answers of both models to the test examples, one by one: which changed, how, and how all are spread.

Needs numpy, so only the child imports it.
"""

from __future__ import annotations

from apps.agents.evaluation.answers.watching import AnswerWatch

__all__ = ["AnswerWatch"]
