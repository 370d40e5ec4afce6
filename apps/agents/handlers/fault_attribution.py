"""Finds out whether a step that failed with a candidate also fails with the original, so the candidate is not to
blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apps.agents.contracts.faults import Fault, blame, disk_trouble
from apps.agents.sandbox.child import ran_out_of_memory
from apps.errors import UserError

_OF_WHAT_WAS_MADE = "technique."
"""The prefix of error codes that concern a technique's own output."""


@contextmanager
def blaming(rehearse: Callable[[], object]) -> Iterator[None]:
    """If the block fails, runs `rehearse`, which does the same with the original alone. If that fails too, raises its
    error, marked as `Fault.ORIGINAL`, which ends the session instead of failing every candidate.
    """
    try:
        yield
    except Exception as error:
        if not _may_be_the_originals(error):
            raise
        try:
            rehearse()
        except Exception as same:
            if _may_be_the_originals(same):
                raise blame(same, Fault.ORIGINAL) from error
        raise


def _may_be_the_originals(error: Exception) -> bool:
    if ran_out_of_memory(error) or disk_trouble(error, None):
        return False
    return not isinstance(error, UserError) or not error.code.startswith(_OF_WHAT_WAS_MADE)
