"""A search for an architecture in steps: whatever the number of workers, and wherever one dies, it finds the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.criteria import Budget
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.searching import SUPERNET, Portion, PortionMade, Searched, SoFar, SupernetMade, TrialCard
from apps.agents.contracts.searching import spent_s as spent
from apps.agents.contracts.state import ACTIVE, SessionState, Status, StepKind, StepRecord, StepRequest
from apps.agents.session.searching import Searching, folded
from apps.agents.session.steps import Steps
from apps.agents.techniques.architecture.search import Asked, Search
from apps.agents.techniques.architecture.trials import Trial
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import InMemoryPipeline, World, resnet
from tests.agents.planning.test_cuts import program
from tests.agents.session.test_manager import FASTEST
from tests.agents.techniques.architecture.test_search import Arithmetic
from tests.agents.told import Told

TECHNIQUE = "torch-search"
ASKED = {"steps": 10, "final_steps": 10, "trials": 80, "batch": 16, "latency_left": 0.4, "finalists": 3, "round_to": 8}
SEED = 3
LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxruntime", "optuna", "onnxscript")


def wanted(place: int = 1, candidate: str | None = None, **changes: Any) -> StepRequest:
    """The step of a candidate that trains a network found, as the manager would request it without stages."""
    parameters = catalogue()[TECHNIQUE].resolve({**ASKED, "place": place, **changes})
    name = candidate or f"c{place:02d}"
    return StepRequest(
        key=f"{name}/optimize",
        kind=StepKind.OPTIMIZE,
        queue="cpu",
        reason="Because.",
        candidate=name,
        technique=TECHNIQUE,
        parameters=parameters,
        parents={"teacher": "original"},
    )


def empty(workers: int = 1) -> SessionState:
    world = resnet()
    return SessionState(criteria=FASTEST, model=world.model, dataset=world.dataset, seed=SEED, parallelism=workers)


@dataclass
class Session:
    """Carries out what is requested of a search, each step by a search of its own on a bench of arithmetic."""

    folder: Path
    workers: int = 1
    requests: tuple[StepRequest, ...] = (wanted(),)
    dies: int | None = None
    """After how many trials of the first portion its worker dies, which is then made again."""
    records: dict[str, StepRecord] = field(default_factory=dict)
    found: dict[str, tuple[int, ...]] = field(default_factory=dict)
    told: dict[str, dict[int, TrialCard]] = field(default_factory=dict)
    scored: int = 0

    @property
    def state(self) -> SessionState:
        return empty(self.workers).model_copy(update={"steps": tuple(self.records.values())})

    def run(self) -> Session:
        while True:
            searching = Searching(self.state, catalogue())
            open_ = [one for one in self.requests if one.key not in self.records]
            asked = (*searching.further(), *searching.staged(open_))
            if not asked:
                return self
            for request in asked:
                self.records[request.key] = StepRecord(request=request, status=Status.QUEUED)
            for request in reversed(asked):  # The order in which workers take them must not matter.
                self._carry_out(request)

    def _carry_out(self, request: StepRequest) -> None:
        match request.kind:
            case StepKind.SUPERNET:
                self._search(request.parameters).prepare(self.folder / "supernet")
                body = SupernetMade(sub_networks=1, limit_ms=1.0, original_ms=1.0)
            case StepKind.TRIALS:
                body = self._trials(request)
            case _:
                self.found[request.key], _ = self._search(request.parameters, self.so_far()).run()
                body = PortionMade()
        self.records[request.key] = StepRecord(
            request=request, status=Status.COMPLETED, result=body.model_dump(mode="json")
        )

    def _trials(self, request: StepRequest) -> PortionMade:
        portion = Portion.model_validate(request.parameters["portion"])
        told = self.told.setdefault(request.key, {})

        def tell(card: TrialCard) -> None:
            if self.dies is not None and len(told) == self.dies:
                self.dies = None
                raise InterruptedError
            self.scored += card.number not in told
            told[card.number] = card

        while True:
            search = self._search(request.parameters["parameters"], self.so_far(portion))
            try:
                return search.portion(portion, tuple(told.values()), tell)
            except InterruptedError:
                continue

    def so_far(self, portion: Portion | None = None) -> SoFar:
        cards: dict[int, TrialCard] = {}
        for made in self.told.values():
            cards |= made
        known = None if portion is None or portion.finalists else portion.known
        return SoFar(trials=tuple(one for one in cards.values() if known is None or one.number <= known))

    def _search(self, parameters: dict[str, Any], so_far: SoFar | None = None) -> Search:
        searched = None if so_far is None else Searched(file=self.folder / "supernet", so_far=so_far)
        asked = Asked.of(parameters, SEED)
        return Search(Arithmetic(), asked, Told(), self.folder, "Search", clock=lambda: 0.0, searched=searched)

    @property
    def trials(self) -> list[TrialCard]:
        return sorted(self.so_far().trials, key=lambda one: one.number)


def whole(folder: Path) -> Search:
    """The same search in one step."""
    search = Search(Arithmetic(), Asked.of(wanted().parameters, SEED), Told(), folder, "Search", clock=lambda: 0.0)
    search.run()
    return search


@pytest.mark.parametrize("workers", [1, 2, 3, 16, 40])
def test_any_number_of_workers_tries_and_finds_what_one_step_does(tmp_path: Path, workers: int) -> None:
    alone, session = whole(tmp_path), Session(tmp_path, workers).run()
    cards = [
        Trial(one.values, one.loss, one.latency_ms, one.parameters, one.macs, one.accuracy) for one in session.trials
    ]
    assert cards == alone.progress.trials
    assert [one.number for one in session.trials] == list(range(1, ASKED["trials"] + 1))  # type: ignore[operator]
    assert session.found["c01/optimize"] == min(alone.progress.finalists, key=lambda one: one.alone.loss).values
    trained = {one.values: one.alone_loss for one in session.trials if one.alone_loss is not None}
    assert trained == {one.values: one.alone.loss for one in alone.progress.finalists}
    steps = [one for one in session.records.values() if one.request.kind is StepKind.TRIALS]
    assert {Portion.model_validate(one.request.parameters["portion"]).of for one in steps} <= {
        min(workers, 16),
        3,
        workers,
    }
    assert all(one.request.parents[SUPERNET].startswith("search/") for one in steps)


def test_a_step_whose_worker_dies_scores_only_what_was_not_scored(tmp_path: Path) -> None:
    session = Session(tmp_path, workers=2, dies=3).run()
    assert session.dies is None
    assert session.trials == Session(tmp_path, workers=2).run().trials
    assert session.scored == ASKED["trials"] + ASKED["finalists"]  # type: ignore[operator]


def test_candidates_that_want_others_of_the_best_share_one_search(tmp_path: Path) -> None:
    session = Session(tmp_path, requests=(wanted(1), wanted(2))).run()
    assert sum(one.request.kind is StepKind.SUPERNET for one in session.records.values()) == 1
    ranked = sorted((one for one in session.trials if one.alone_loss is not None), key=lambda one: one.alone_loss or 0)
    assert [session.found["c01/optimize"], session.found["c02/optimize"]] == [one.values for one in ranked[:2]]


def test_another_search_has_a_supernet_of_its_own() -> None:
    staged = Searching(empty(), catalogue()).staged([wanted(1), wanted(2, latency_left=0.5)])
    assert [one.kind for one in staged] == [StepKind.SUPERNET] * 2


def test_a_network_that_is_given_is_not_searched_for(tmp_path: Path) -> None:
    given = wanted(network=("width:l0=8",))
    assert Searching(empty(), catalogue()).staged([given]) == (given,)


def test_while_it_searches_one_running_step_stands_for_all(tmp_path: Path) -> None:
    request = wanted()
    (supernet,) = Searching(empty(), catalogue()).staged([request])
    for status in (Status.QUEUED, Status.RUNNING):
        record = StepRecord(request=supernet, status=status)
        state = empty().model_copy(update={"steps": (record,)})
        stands = Steps.of(folded(state)).get(request.key)
        assert stands is not None
        assert (stands.request, stands.status in ACTIVE) == (request, True)
        assert Steps.of(folded(state)).active == 1
        assert Searching(state, catalogue()).further() == ()
        assert Searching(state, catalogue()).staged([wanted(2)]) == ()


def test_a_search_that_is_lost_loses_its_candidate(tmp_path: Path) -> None:
    (supernet,) = Searching(empty(), catalogue()).staged([wanted()])
    lost = StepRecord(request=supernet, status=Status.FAILED, error_code="technique.search_too_slow", error="Too slow.")
    state = empty().model_copy(update={"steps": (lost,)})
    stands = Steps.of(folded(state)).get("c01/optimize")
    assert stands is not None
    assert (stands.status, stands.error_code, stands.error) == (Status.FAILED, lost.error_code, lost.error)
    assert Searching(state, catalogue()).further() == ()


def test_trials_end_when_their_time_is_over(tmp_path: Path) -> None:
    request = wanted(steps=0, minutes=10.0)
    (supernet,) = Searching(empty(2), catalogue()).staged([request])
    made = StepRecord(request=supernet, status=Status.COMPLETED)
    first = Searching(empty(2).model_copy(update={"steps": (made,)}), catalogue()).further()
    assert [Portion.model_validate(one.parameters["portion"]).left_s for one in first] == [120.0, 120.0]
    card = TrialCard(number=1, values=(8,), loss=1.0, latency_ms=1.0, parameters=1, macs=1)
    took = (PortionMade(trials=(card,), proposed=16, seconds=seconds) for seconds in (70.0, 60.0))
    done = [
        StepRecord(request=one, status=Status.COMPLETED, result=of.model_dump(mode="json"))
        for one, of in zip(first, took, strict=True)
    ]
    after = empty(2).model_copy(update={"steps": (made, *done)})
    assert [
        Portion.model_validate(one.parameters["portion"]).left_s for one in Searching(after, catalogue()).further()
    ] == [50.0] * 2
    late = done[1].model_copy(update={"result": {**done[1].result, "late": True}})
    ended = empty(2).model_copy(update={"steps": (made, done[0], late)})
    assert all(
        Portion.model_validate(one.parameters["portion"]).finalists for one in Searching(ended, catalogue()).further()
    )


def test_steps_side_by_side_count_once() -> None:
    pairs = [
        (Portion(share=0, of=2), PortionMade(seconds=5.0)),
        (Portion(share=1, of=2), PortionMade(seconds=7.0)),
        (Portion(known=16, share=0, of=2), PortionMade(seconds=2.0)),
        (Portion(finalists=True, known=32), PortionMade(seconds=4.0)),
    ]
    assert spent(pairs) == 13.0


# --- in whole sessions ------------------------------------------------------------------------------------------------

LONG = FASTEST.model_copy(
    update={
        "allowed_techniques": (TECHNIQUE, "torch-recover", "onnx-export", "onnx-static-int8"),
        "budget": Budget(minutes=120.0, candidates=8),
    }
)


@dataclass(frozen=True)
class Searchable(World):
    """A program with a data set that has examples to train on."""

    @property
    def dataset(self) -> DatasetSummary:
        return super().dataset.model_copy(update={"training_examples": 20_000})


def searched_program(**changes: Any) -> World:
    known = program()
    return replace(Searchable(**{name: getattr(known, name) for name in known.__dataclass_fields__}), **changes)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_session_searches_once_and_measures_the_two_best(workers: int) -> None:
    session = InMemoryPipeline(searched_program(), LONG, parallelism=workers, libraries=LIBRARIES).run()
    kinds = [step.request.kind for step in session.state.steps]
    assert kinds.count(StepKind.SUPERNET) == 1
    portions = [one for one in session.state.steps if one.request.kind is StepKind.TRIALS]
    assert {Portion.model_validate(one.request.parameters["portion"]).of for one in portions} == {workers}
    made = [one.request for one in session.state.steps if one.request.technique == TECHNIQUE]
    assert sorted(one.parameters["place"] for one in made if one.kind is StepKind.OPTIMIZE) == [1, 2]
    measured = [one for one in session.last.candidates if one.steps[0].technique == TECHNIQUE and one.score is not None]
    assert len({one.steps[0].parameters["place"] for one in measured}) == 2
    assert session.last.verdict is not None


def test_a_session_whose_search_fails_goes_on_without_it() -> None:
    world = searched_program(failing={TECHNIQUE: ("technique.search_too_slow", "Too slow.")})
    session = InMemoryPipeline(world, LONG, libraries=LIBRARIES).run()
    assert session.last.failure is None
    assert session.last.verdict is not None
    left_out = [one for one in session.last.candidates if one.applies(TECHNIQUE)]
    assert left_out
    assert all(one.score is None for one in left_out)
    assert any("Left out" in one.reason for one in left_out)


def test_the_supernet_is_let_go_once_no_other_of_its_networks_can_be_wanted() -> None:
    session = InMemoryPipeline(searched_program(), LONG, libraries=LIBRARIES).run()
    (supernet,) = (one.request.key for one in session.state.steps if one.request.kind is StepKind.SUPERNET)
    gone = [any(key == supernet for key in one.unneeded) for one in session.decisions]
    judged = next(
        place
        for place, one in enumerate(session.decisions)
        if any(request.parameters.get("finalists") for request in one.requests if request.kind is StepKind.EVALUATE)
    )
    assert not any(gone[:judged])
    assert all(gone[judged:])


def test_what_is_left_of_a_search_is_foreseen_besides_its_step_that_runs() -> None:
    session = InMemoryPipeline(searched_program(), LONG, libraries=LIBRARIES).run()
    begun = next(one for one in session.decisions if any(r.kind is StepKind.SUPERNET for r in one.requests))
    (supernet,) = (one.key for one in begun.requests if one.kind is StepKind.SUPERNET)
    assert begun.forecast is not None
    assert set(begun.forecast.steps) >= {supernet}
    assert not any(key.startswith(TECHNIQUE) for key in begun.forecast.steps), "what stands in for it is no step"
    assert begun.forecast.later_s + begun.forecast.steps[supernet] > 15 * 60
