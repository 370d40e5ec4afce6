"""Which candidate comes next, while minutes are left: the largest expected improvement for the time that it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, Budget, Criteria
from apps.agents.contracts.state import StepKind, StepRequest
from apps.agents.session.manager import OptimizationManager
from apps.agents.session.search import Search
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import (
    CALIBRATION,
    DECOMPOSE,
    GRAPH,
    PRUNE,
    STATIC,
    InMemoryPipeline,
    Run,
    Truth,
    World,
    resnet,
)

FASTEST = PROFILES["fastest"]
NEVER_HERE = (DECOMPOSE, "torch-decompose", *CALIBRATION)
"""The tests are about cuts beside quantizations."""
AVX2 = {(STATIC, "uint8", "int8"): 2.0, (STATIC, "uint8", "uint8"): 1.8, (STATIC, "int8", "int8"): 1.0}


@dataclass(frozen=True)
class Cuttable(World):
    """A world in which the gain of cutting channels multiplies with what follows, on a machine that is `busy` times
    slower."""

    busy: float = 1.0
    cut_drop: float = 0.2
    """Points lost where half of the work is removed."""
    cut_margin: float = 0.2

    def takes_s(self, request: StepRequest) -> float:
        judging = request.key.endswith("/judge")
        times = {StepKind.ANALYSE: 5.0, StepKind.EVALUATE: 22.0 if judging else 6.0, StepKind.PLAN: 0.1}
        making = {PRUNE: 11.0, GRAPH: 0.7}.get(request.technique or "", 1.0)
        return self.busy * times.get(request.kind, making)

    def truth_of(self, links: Sequence[StepRequest]) -> Truth:
        cuts = [one for one in links if one.technique == PRUNE]
        last = super().truth_of(links) if links[-1] not in cuts else Truth(1.0, 1.0, 0.0, self.drop_margin)
        for share in (one.parameters["macs_removed"] for one in cuts):
            last = replace(
                last,
                speedup=last.speedup / (1 - 0.95 * share),
                size_ratio=last.size_ratio / (1 - 0.95 * share),
                drop_points=last.drop_points + self.cut_drop * (share / 0.5) ** 2,
                drop_margin=self.cut_margin,
            )
        return last


def world(**changes: Any) -> Cuttable:
    known = {name: getattr(resnet(), name) for name in World.__dataclass_fields__}
    return Cuttable(**{**known, **changes})


def within(minutes: float, candidates: int = 12) -> Criteria:
    return FASTEST.model_copy(update={"budget": Budget(minutes=minutes, candidates=candidates)})


def run(of: World, criteria: Criteria, **more: Any) -> Run:
    return InMemoryPipeline(of, criteria, disabled=NEVER_HERE, **more).run()


def shipped(session: Run) -> float:
    """The true speed-up of what is delivered."""
    chosen = session.last.verdict.candidate
    return session.candidate(chosen).score if chosen else 1.0


def techniques(session: Run, key: str) -> list[str]:
    return [link.technique for link in session.candidate(key).steps]


def evaluated(session: Run) -> list[str]:
    return [one.request.candidate for one in session.state.steps if one.request.key.endswith("/evaluate")]


@pytest.mark.parametrize("busy", [1.0, 2.0, 3.5])
def test_on_a_slow_machine_without_fast_kernels_the_pruned_and_quantized_chain_is_tried_in_time(busy: float):
    """A grid took 643 s, of which the session has half. It once ended with the plain quantization, 1.98×."""
    session = run(world(flags=("avx2",), factors=AVX2, busy=busy), within(0.5 * 643 / 60))
    tried = evaluated(session)
    assert techniques(session, tried[0]) == [GRAPH, STATIC], "quick, and nothing is held yet"
    assert techniques(session, tried[1]) == [PRUNE, GRAPH, STATIC]
    assert shipped(session) > 3.64
    assert session.state.worked_s <= 0.5 * 643


def test_a_leader_that_may_not_be_proven_does_not_end_the_search():
    """The deepest cuts lose little as measured, but their intervals reach far beyond the limit."""
    session = run(world(cut_drop=0.25, cut_margin=1.0), within(6.0))
    tried = {key: session.candidate(key) for key in evaluated(session)}
    cuts = sorted(one.steps[0].parameters["macs_removed"] for one in tried.values() if one.steps[0].technique == PRUNE)
    assert cuts[-1] == 0.7
    assert cuts[0] <= 0.5, "gentler ones are tried although a deeper one ranks higher"
    sure = run(world(cut_drop=0.05, cut_margin=0.1), within(6.0))
    assert len(evaluated(sure)) < len(tried)


def test_where_both_do_not_fit_the_one_that_improves_most_comes_first():
    plan = [state for state in run(world(), within(30)).states if len(state.steps) == 2][-1]
    for minutes, first in ((6.0, STATIC), (1.2, PRUNE)):
        state = plan.model_copy(update={"criteria": within(minutes), "worked_s": 6.0})
        best = Search(state, catalogue()).options[0].candidate
        assert (best.steps[0].technique == PRUNE) == (first == PRUNE)


def test_the_last_candidate_of_the_budget_is_the_one_that_improves_most():
    session = run(world(), within(30, candidates=1))
    (only,) = evaluated(session)
    assert techniques(session, only) == [PRUNE, GRAPH, STATIC]


def test_a_session_that_stops_for_time_says_what_was_left_with_its_numbers():
    session = run(world(busy=3.0), within(2.3))
    said = session.events["budget"]
    numbers = r"(\d\.\d) of 2\.3 minutes are left; making and measuring (c\d+) should take about (\d\.\d), and judging"
    found = re.search(numbers + r" the best one (\d\.\d)", said)
    assert found, said
    left, key, takes, judging = found.groups()
    assert float(takes) + float(judging) >= float(left) - 0.1
    assert re.search(r"predicted score of \d+\.\d\d against \d+\.\d\d reached", said)
    assert session.candidate(key).reason.startswith("Left out: ")
    assert f"{left} of 2.3 minutes are left" in session.candidate(key).reason
    assert shipped(session) > 1


def test_minutes_are_used_while_something_that_may_win_fits():
    """Nothing is left out for want of time that would have fitted when the search ended."""
    for minutes in (2.0, 3.0, 4.5, 7.0):
        session = run(world(busy=3.0, cut_margin=0.8), within(minutes))
        asked = [one for one in session.states if not any(step.request.key.endswith("/judge") for step in one.steps)]
        search = Search(asked[-1], catalogue())
        assert not search.options or search.started == 12
        assert all(not search.time_left.fits(one.candidate) for one in search.too_late)


def test_while_a_link_is_made_that_one_candidate_needs_others_are_tried_beside_it():
    session = run(world(), within(30), parallelism=3)
    states = [one for one in session.states if _active(one, PRUNE)]
    assert states
    beside = [step.request for state in states for step in state.steps if step.status.value in ("queued", "running")]
    assert any(request.technique != PRUNE for request in beside)


def test_the_same_state_gives_the_same_next_step():
    session = run(world(cut_margin=0.8), within(6.0))
    manager = OptimizationManager()
    for state, decision in zip(session.states, session.decisions, strict=True):
        assert manager.next(state).requests == decision.requests


def _active(state: Any, technique: str) -> bool:
    return any(s.request.technique == technique and s.status.value in ("queued", "running") for s in state.steps)
