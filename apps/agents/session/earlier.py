"""What a session takes over from the one that it continues, as the manager sees it. Pure functions of the state.

A measured candidate is taken over before anything new is tried, whatever is left of the budget: it costs nothing. The
plan is made anew. Measured candidates that it does not contain are added to it, because their measurements are there.
"""

from __future__ import annotations

from apps.agents.contracts.chain import key_of
from apps.agents.contracts.state import CandidateRecord, CandidateStatus, Plan, SessionState


def judged_before(state: SessionState) -> int:
    """How many candidates were judged on the test part in the sessions that this one continues."""
    return state.earlier.judged if state.earlier else 0


def worked_before_s(state: SessionState) -> float:
    """The own time of those sessions, which the budget counts."""
    return state.earlier.worked_s if state.earlier else 0.0


def made_before(state: SessionState) -> frozenset[str]:
    """The keys of the chains that need not be applied again."""
    return frozenset() if state.earlier is None or state.earlier.gone else frozenset(state.earlier.made)


def is_measured(candidate: CandidateRecord, state: SessionState) -> bool:
    """Whether a candidate need not be measured again on the validation part."""
    if state.earlier is None or state.earlier.gone:
        return False
    return any(_kernel(one) == _kernel(candidate) for one in state.earlier.measured)


def with_measured(plan: Plan, state: SessionState) -> Plan:
    """`plan`, and after its candidates those that were measured before and are missing from it, under new keys."""
    if state.earlier is None:
        return plan
    known: set[str] = {_kernel(one) for one in plan.candidates}
    added: list[CandidateRecord] = []
    for record in state.earlier.measured:
        if (key := _kernel(record)) not in known:
            known.add(key)
            added.append(_renamed(record, len(plan.candidates) + len(added) + 1))
    return plan.model_copy(update={"candidates": (*plan.candidates, *added)}) if added else plan


def _renamed(record: CandidateRecord, number: int) -> CandidateRecord:
    reason = f"Measured in the session that this one continues. {record.reason}"
    fresh = {"parent": None, "status": CandidateStatus.PLANNED, "score": None}
    return record.model_copy(update={"key": f"c{number:02d}", "reason": reason, **fresh})


def _kernel(candidate: CandidateRecord) -> str:
    """The key of its chain without the links that it can do without: whether those apply shows only on the way."""
    links = [link for link in candidate.steps if not link.optional]
    return key_of(links or candidate.steps)
