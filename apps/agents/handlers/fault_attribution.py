"""Whether what failed with a candidate fails with the original as well: then it is no fault of the candidate's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apps.agents.contracts.faults import Fault, blame, disk_trouble
from apps.agents.sandbox.child import ran_out_of_memory
from apps.errors import UserError

_OF_WHAT_WAS_MADE = "technique."
"""Codes of errors that speak of a technique's own output."""


@contextmanager
def blaming(rehearse: Callable[[], object]) -> Iterator[None]:
    """Where the block fails and `rehearse`, which does the same with the original alone, fails too: raises its error.

    That one is then known as the original's (`Fault.ORIGINAL`), which ends the session instead of every candidate.
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
