"""A search on a model of plain arithmetic: what is tried, what is found, and how it goes on after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueSearchTooSlow
from apps.agents.techniques.architecture.progress import Progress, Score
from apps.agents.techniques.architecture.search import Asked, Search
from apps.agents.techniques.architecture.searchable_model import Length, Lesson
from apps.agents.techniques.architecture.space import Dimension, Kind, Space, Values
from apps.agents.techniques.architecture.table import Counts, Operator, Work
from apps.agents.techniques.architecture.trials import Trial, finalists, front, rank_correlation
from apps.agents.techniques.reduction import Workload
from tests.agents.told import Killed, Killing, Told

OPTIONS = (8, 16, 24, 32, 40, 48, 56, 64)
SPACE = Space(tuple(Dimension(Kind.WIDTH, f"l{place}", OPTIONS, (f"l{place}",)) for place in range(6)))
WORTH = (9.0, 1.0, 1.0, 7.0, 1.0, 1.0)
"""How much the loss falls with the width of each layer."""
ASKED = Asked(15.0, 10, 10, trials=96, batch=16, sampler="nsga2", latency_left=0.4, finalists=3, seed=3)


class Arithmetic:
    """A model whose times and losses follow from widths alone."""

    def __init__(self) -> None:
        self.space = SPACE
        self.layers: Counts = {(f"l{place}", 3): ((8, 64), OPTIONS) for place in range(6)}
        self.trained: list[Values] = []
        self.timed = 0

    def operators_ms(self, operators: Sequence[Operator]) -> list[float]:
        self.timed += 1
        return [1e-3 * one.outputs for one in operators]

    def networks_ms(self, networks: Sequence[Values]) -> list[float]:
        return [1e-3 * sum(values) + 0.02 for values in networks]

    def work(self, values: Values) -> Work:
        operators = tuple(Operator(f"l{place}", 64, value, 3) for place, value in enumerate(values))
        return Work(operators, sum(values), sum(values) ** 2)

    def workload(self, values: Values) -> Workload:
        return Workload(sum(values), sum(values), sum(values))

    def learn(self, length: Length, context: Context) -> Lesson:
        return Lesson(length.steps, {"steps": length.steps}, Score(0.0, None))

    def score(self, values: Values) -> Score:
        lost = sum(worth * (1 - value / 64) ** 2 for worth, value in zip(WORTH, values, strict=True))
        return Score(lost, 100 - lost)

    def train(self, values: Values, length: Length, context: Context) -> Lesson:
        self.trained.append(values)
        loss, accuracy = self.score(values).loss / 2, self.score(values).accuracy
        return Lesson(length.steps, {"steps": length.steps}, Score(loss, accuracy))

    def save(self, folder: Path) -> Path:
        return folder

    def write(self, file: Path, progress: Progress, inner: Path | None, *, weights: bool) -> None:
        file.write_text(progress.text())

    def read(self, file: Path, folder: Path) -> tuple[Progress, Path | None]:
        return Progress.read(file.read_text()), None


def _search(folder: Path, told: Told | None = None, **changes: Any) -> Search:
    return Search(Arithmetic(), replace(ASKED, **changes), told or Told(), folder, "Search", clock=lambda: 0.0)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_finds_a_better_network_than_uniform_scaling(tmp_path: Path, sampler: str) -> None:
    search = _search(tmp_path, sampler=sampler)
    found, _ = search.run()
    latency = search.progress.table
    assert latency is not None
    work = search.model.work
    uniform = max(
        (
            values
            for share in range(1, 65)
            if latency.latency_ms(work(values := SPACE.uniform(share / 64))) <= search.limit_ms
        ),
        key=lambda values: values[0],
    )
    assert latency.latency_ms(work(found)) <= search.limit_ms
    assert search.model.score(found).loss < 0.7 * search.model.score(uniform).loss
    assert found[0] > found[1]


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_seed_repeats_exactly_and_another_one_does_not(tmp_path: Path, sampler: str) -> None:
    first, again, other = (_search(tmp_path, sampler=sampler, seed=seed, trials=48) for seed in (1, 1, 2))
    assert first.run() == again.run()
    other.run()
    assert first.progress.trials == again.progress.trials
    assert first.progress.trials != other.progress.trials


@pytest.mark.parametrize("last", [1, 2, 4, 8, 9])
def test_a_search_that_was_killed_goes_on_to_the_same_network(tmp_path: Path, last: int) -> None:
    whole = _search(tmp_path)
    wanted = whole.run()
    dying = Killing(last=last)
    with pytest.raises(Killed):
        _search(tmp_path, dying).run()
    (tmp_path / "checkpoint").write_bytes(dying.kept[-1])
    told = Told(checkpoint=tmp_path / "checkpoint")
    resumed = _search(tmp_path, told)
    assert resumed.run() == wanted
    assert resumed.progress.trials == whole.progress.trials
    assert resumed.progress.finalists == whole.progress.finalists
    assert resumed.model.timed == 0  # type: ignore[attr-defined]
    assert [step for step, _ in told.curves["trial loss"]] == list(range(1, len(whole.progress.trials) + 1))


def test_every_trial_is_told_as_it_is_made(tmp_path: Path) -> None:
    told = Told()
    search = _search(tmp_path, told, trials=20)
    search.run()
    points = dict(told.curves["trial latency ms"])
    assert points == {place: one.latency_ms for place, one in enumerate(search.progress.trials, start=1)}
    assert len(told.curves["trial parameters"]) == 20


@pytest.mark.parametrize(("options", "checking"), [(2, 0), (3, 0), (4, 1), (8, 3)])
def test_the_ends_of_a_small_space_correct_its_table_and_others_check_it(
    tmp_path: Path, options: int, checking: int
) -> None:
    search = _search(tmp_path, latency_left=1.0)
    first, *others = SPACE.dimensions
    still = (replace(one, options=OPTIONS[-1:]) for one in others)
    search.model.space = Space((replace(first, options=OPTIONS[-options:]), *still))  # type: ignore[misc]
    found, _ = search.run()
    assert len(search.progress.deviation.pairs) == checking
    assert search.model.space.size == options
    assert found[0] in OPTIONS[-options:]
    said = [line for line in search.context.lines if "operators" in line]  # type: ignore[attr-defined]
    assert ("not checked" in said[0]) == (not checking)


def test_a_given_network_is_only_trained(tmp_path: Path) -> None:
    search = _search(tmp_path)
    given = SPACE.uniform(0.5)
    found, lesson = search.run(given)
    assert (found, lesson.steps) == (given, ASKED.final_steps)
    assert search.model.timed == 0  # type: ignore[attr-defined]
    assert not search.progress.trials


def test_a_limit_below_the_smallest_sub_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TechniqueSearchTooSlow) as caught:
        _search(tmp_path, latency_left=0.1).run()
    assert "at most 10% of the original's time, but the smallest one takes" in caught.value.message


def test_finalists_are_the_best_within_the_limit() -> None:
    trials = [Trial((place,), 1.0 - place / 10, 1.0 + place, 10, 10) for place in range(5)]
    assert [one.values for one in finalists(trials, 3.0, 2)] == [(2,), (1,)]
    assert [one.values for one in finalists(trials, 0.5, 2)] == [(0,)]
    assert front([*trials, Trial((9,), 2.0, 9.0, 10, 10)]) == trials


def test_the_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2], [1, 2]) is None


def test_trials_end_when_their_time_is_over(tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    search = Search(Arithmetic(), replace(ASKED, steps=0, minutes=1.0), Told(), tmp_path, "Search", clock=clock)
    search.run()
    assert 1 <= len(search.progress.trials) < ASKED.trials
