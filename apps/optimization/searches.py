"""What a search for an architecture told, ready to be shown: its trials as points, its finalists, its table's error.

Trials are drawn from curves while they are made, and from the evidence afterwards. They share axes with the picture of
candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NotRequired

from django.utils.translation import gettext as _
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from apps.agents.techniques.architecture.shown import TRIAL_CURVES, TRIAL_LATENCY, TRIAL_LOSS, TRIAL_PARAMETERS
from apps.optimization.curves import Curves
from apps.optimization.fronts import HEIGHT, LEFT, TOP, WIDTH, Axis, Segment, Tick
from apps.optimization.localized import localized, number
from apps.optimization.models import SearchTrial

SEARCH = "search"


class _Trial(TypedDict):
    number: int
    network: NotRequired[list[str]]
    loss: float
    accuracy: NotRequired[float | None]
    latency_ms: float
    parameters: int
    macs: NotRequired[int | None]


class _Final(TypedDict):
    trial: int
    chosen: bool
    shared_loss: float
    alone_loss: float
    shared_accuracy: NotRequired[float | None]
    alone_accuracy: NotRequired[float | None]


class _Table(TypedDict):
    operators: int
    sub_networks: int
    within_ten_percent: float
    median_error: NotRequired[float | None]
    largest_error: NotRequired[float | None]


class _Whole(TypedDict):
    sampler: str
    sub_networks: int
    trials: list[_Trial]
    trials_made: int
    limit_ms: float
    original_ms: float
    found_ms: float
    finalists: list[_Final]
    rank_correlation: NotRequired[float | None]
    table: _Table


_WHOLE: TypeAdapter[_Whole] = TypeAdapter(_Whole)


@dataclass(frozen=True)
class Point:
    """One trial, in percent of the picture."""

    number: int
    loss: float
    latency_ms: float
    parameters: int
    on_front: bool
    x: float
    y: float
    network: str = ""
    """The choices, in words; empty while the search runs."""

    @property
    def described(self) -> str:
        """The point in words: its text alternative."""
        words = _("Trial {number}: {latency} ms, loss {loss}, {parameters} parameters. {beaten}").format(
            number=self.number,
            latency=number(self.latency_ms),
            loss=number(self.loss),
            parameters=localized(f"{self.parameters:,}"),
            beaten=_("On the front.") if self.on_front else _("Beaten."),
        )
        return f"{words} {self.network}".strip()


@dataclass(frozen=True)
class Trials:
    """Trials as a picture: latency across, loss down, so up and left is better."""

    trials: tuple[tuple[int, float, float, int, str], ...]
    """Number, loss, latency in ms, parameters and network of each."""
    limit_ms: float | None = None

    @cached_property
    def across(self) -> Axis:
        limit = [] if self.limit_ms is None else [self.limit_ms]
        return Axis.of([*(one[2] for one in self.trials), *limit], LEFT, WIDTH)

    @cached_property
    def down(self) -> Axis:
        return Axis.of([one[1] for one in self.trials], TOP, HEIGHT)

    @cached_property
    def points(self) -> list[Point]:
        """The beaten ones first, so that the front is drawn above them."""
        best = {one[0] for one in _front(self.trials)}
        made = [
            Point(place, loss, ms, size, place in best, self.across.at(ms), self._y(loss), network)
            for place, loss, ms, size, network in self.trials
        ]
        return sorted(made, key=lambda one: (one.on_front, one.number))

    @property
    def line(self) -> list[Segment]:
        on = sorted((one for one in self.points if one.on_front), key=lambda one: (one.latency_ms, one.loss))
        return [Segment(one.x, one.y, two.x, two.y) for one, two in pairwise(on)]

    @property
    def across_ticks(self) -> list[Tick]:
        return [Tick(self.across.at(value), number(value)) for value in self.across.ticks]

    @property
    def down_ticks(self) -> list[Tick]:
        return [Tick(self._y(value), number(value)) for value in self.down.ticks]

    @property
    def limit(self) -> float | None:
        """Where the limit on latency lies; `None` if it is not known."""
        return None if self.limit_ms is None else self.across.at(self.limit_ms)

    def _y(self, loss: float) -> float:
        """A lower loss is higher up."""
        return self.down.at(loss)


@dataclass(frozen=True)
class Search:
    """A search that has ended."""

    trials: Trials
    whole: _Whole

    @property
    def best(self) -> list[tuple[Point, _Trial]]:
        """The front with all that is known of each trial, the fastest first."""
        cards = {one["number"]: one for one in self.whole["trials"]}
        front = sorted((one for one in self.trials.points if one.on_front), key=lambda one: one.latency_ms)
        return [(point, cards[point.number]) for point in front]


def trials_of_rows(rows: Iterable[SearchTrial], limit_ms: float | None) -> Trials:
    """The trials that steps have scored so far, whichever worker ran them."""
    told = ((row.number, row.loss, row.latency_ms, row.parameters, ", ".join(row.network)) for row in rows)
    return Trials(tuple(told), limit_ms)


def trials_of_curves(curves: Curves) -> Trials:
    """The trials that the curves of a running step tell."""
    known = [dict(curves.get(name, ())) for name in (TRIAL_LOSS, TRIAL_LATENCY, TRIAL_PARAMETERS)]
    steps = sorted(set(known[0]) & set(known[1]) & set(known[2]))
    return Trials(tuple((step, known[0][step], known[1][step], int(known[2][step]), "") for step in steps))


def beside_trials(curves: Curves) -> Curves:
    """The curves that are not trials."""
    return {name: pairs for name, pairs in curves.items() if name not in TRIAL_CURVES}


def search_of(evidence: Mapping[str, Any]) -> Search | None:
    """The search that `evidence` describes. Techniques write it, so an unexpected one is not shown."""
    try:
        whole = _WHOLE.validate_python(evidence.get(SEARCH))
    except ValidationError:
        return None
    if not whole["trials"]:
        return None
    trials = tuple(
        (one["number"], one["loss"], one["latency_ms"], one["parameters"], ", ".join(one.get("network", [])))
        for one in whole["trials"]
    )
    return Search(Trials(trials, whole["limit_ms"]), whole)


def beside_search(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of `evidence`: everything that `search_of` does not show."""
    shown = search_of(evidence) is not None
    return {name: value for name, value in evidence.items() if name != SEARCH or not shown}


def _front(trials: Sequence[tuple[int, float, float, int, str]]) -> list[tuple[int, float, float, int, str]]:
    """Those that no other one beats in loss and latency: what the picture shows."""
    found = []
    least = float("inf")
    for one in sorted(trials, key=lambda one: (one[2], one[1])):
        if one[1] < least:
            least = one[1]
            found.append(one)
    return found
