"""Chooses forms and ranks for a whole model: energy first, then what the output loses, without what is not faster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from apps.agents.techniques.decomposition.allocation import Budget, allocate, frontier
from apps.agents.techniques.decomposition.factors import Factors
from apps.agents.techniques.decomposition.options import AUTO, FORMS, Factorizer, Option, as_it_is, timed

Tell = Callable[[float, str], None]
MACS, BYTES, LATENCY = "macs", "bytes", "latency"
WORTH = 0.5
"""Factors must turn at least this part of the work that they save into time saved, or the layer is left alone."""
MOST_TIMED = 6
"""The most options of one form that are timed for a layer."""
_PROBED = 0.05
"""The output's loss is measured at the option that loses this share of the layer's energy, or as near to it as any."""
_TIMED, _PROBING = 0.5, 0.95
"""The progress when options are timed, and when the output's loss is measured."""
MOST_LAYERS = 200


class Measurer(Protocol):
    """What a backend measures of the model."""

    def times_ms(self, factorizer: Factorizer, factors: Sequence[Factors]) -> list[float]:
        """Of the layer as it is, and of each of its `factors`: the time of one example, in turns in this process."""

    def noise(self, factorizer: Factorizer, factors: Factors) -> float:
        """Noise over signal at the model's output with one layer replaced."""


@dataclass(frozen=True)
class Choice:
    """The option of each layer, and why the others were left as they are."""

    before: Mapping[str, Option]
    options: Mapping[str, Option]
    left: Mapping[str, str]
    """By layer: why it was left, as a clause."""
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    """By layer: noise over signal at the output, per share of the layer's energy that is lost."""
    saved: float = 0.0
    """The share of the budget that it removes."""

    @property
    def replaced(self) -> dict[str, Option]:
        return {name: option for name, option in self.options.items() if not option.stays}

    @property
    def names(self) -> tuple[str, ...]:
        """The value of `ranks` that repeats it."""
        return tuple(option.named(name) for name, option in self.replaced.items())

    def evidence(self, out_of_reach: Mapping[str, str]) -> dict[str, Any]:
        """Ranks, energy kept, work and time of each layer, and the layers left, as plain JSON.

        `out_of_reach` says why some layers could not be replaced at all.
        """
        rows = [
            {
                "name": name,
                "form": option.form,
                "rank": option.rank,
                "energy_kept": round(1 - option.lost, 6),
                "macs_before": self.before[name].macs,
                "macs_after": option.macs,
                "parameters_before": self.before[name].parameters,
                "parameters_after": option.parameters,
                "ms_before": _rounded(self.before[name].time_ms),
                "ms_after": _rounded(option.time_ms),
                "sensitivity": _rounded(self.sensitivity.get(name)),
            }
            for name, option in self.replaced.items()
        ]
        left = [{"name": name, "reason": reason} for name, reason in {**self.left, **out_of_reach}.items()]
        return {"ranks": rows[:MOST_LAYERS], "left": left[:MOST_LAYERS]}


class Chooser:
    """Chooses for the layers of `factorizers`, of which there are so many `layers`, in one pass over them.

    `whole` has what the whole model costs, by `MACS` and `BYTES`.
    """

    def __init__(
        self, factorizers: Iterable[Factorizer], layers: int, whole: Mapping[str, float], measurer: Measurer, tell: Tell
    ) -> None:
        self._coming, self._count = factorizers, layers
        self._factorizers: dict[str, Factorizer] = {}
        self._before: dict[str, Option] = {}
        self._whole, self._measurer, self._tell = whole, measurer, tell
        self._left: dict[str, str] = {}

    def choose(self, parameters: Mapping[str, Any]) -> Choice:
        """By the technique's parameters."""
        forms = FORMS if parameters["form"] == AUTO else (str(parameters["form"]),)
        options = {}
        for name, factorizer in self._opened():
            options[name] = self._worth(name, factorizer, factorizer.options(forms), timing=bool(parameters["timed"]))
        budget = self._budget(parameters)
        sensitivity = self._sensitivities(options) if parameters["allocation"] == "sensitivity" else {}
        weight = {name: sensitivity.get(name, 1.0) for name in options}
        chosen = allocate(options, self._before, weight, budget)
        left = self._left | {
            name: "what it would save is saved at less loss in other layers"
            for name, option in chosen.items()
            if option.stays and name not in self._left
        }
        return Choice(self._before, chosen, left, sensitivity, budget.saved(chosen, self._before))

    def given(self, names: Iterable[str]) -> Choice:
        """The options that an earlier choice named. Raises `ValueError` for what the model does not have."""
        wanted = {name: (form, rank) for name, form, rank in map(parsed, names)}
        options = {
            name: factorizer.option(*wanted[name]) if name in wanted else self._before[name]
            for name, factorizer in self._opened()
        }
        if unknown := sorted(wanted.keys() - options.keys()):
            known = ", ".join(list(options)[:5]) or "none"
            raise ValueError(f"{unknown[0]!r} is not a layer that can be decomposed; those are {known}")
        return Choice(self._before, options, {})

    def _opened(self) -> Iterator[tuple[str, Factorizer]]:
        """One layer after the other, each closed before the next, because covariances are large."""
        for number, factorizer in enumerate(self._coming):
            name = factorizer.layer.name
            self._tell(_TIMED * number / self._count, f"factors of {name}")
            self._factorizers[name], self._before[name] = factorizer, as_it_is(factorizer.layer)
            yield name, factorizer
            factorizer.close()

    def factors(self, name: str, option: Option) -> Factors:
        return self._factorizers[name].factors(option.form, option.rank)

    def factorizer(self, name: str) -> Factorizer:
        return self._factorizers[name]

    # --- time ---------------------------------------------------------------------------------------------------------

    def _worth(self, name: str, factorizer: Factorizer, options: list[Option], *, timing: bool) -> list[Option]:
        """The options that are worth it; notes why if there are none. Without `timing`, all that save work are."""
        if not options:
            self._left[name] = "no rank in the multiples asked for saves work and keeps half of its energy"
            return []
        if not timing:
            return options
        tried = [one for form in dict.fromkeys(o.form for o in options) for one in _few(options, form)]
        whole_ms, *times = self._measurer.times_ms(
            factorizer, [factorizer.factors(one.form, one.rank) for one in tried]
        )
        before = self._before[name] = timed(self._before[name], whole_ms)
        measured = [timed(option, time_ms) for option, time_ms in zip(tried, times, strict=True)]
        found = [option for option in measured if pays(option, before)]
        if not found:
            best = min(measured, key=lambda one: one.time_ms or 0.0)
            self._left[name] = (
                f"too little time saved: at best {best.time_ms:.3g} ms instead of {whole_ms:.3g} ms "
                f"({best.form}, rank {best.rank})"
            )
        return found

    def _budget(self, parameters: Mapping[str, Any]) -> Budget:
        removed, kind = float(parameters["removed"]), str(parameters["budget"])
        if kind == MACS:
            return Budget(lambda one: one.macs, self._whole[MACS], removed)
        if kind == BYTES:
            return Budget(lambda one: one.parameters, self._whole[BYTES], removed)
        whole_ms = sum(one.time_ms or 0.0 for one in self._before.values())
        return Budget(lambda one: one.time_ms or 0.0, whole_ms, removed)

    # --- sensitivity --------------------------------------------------------------------------------------------------

    def _sensitivities(self, options: Mapping[str, Sequence[Option]]) -> dict[str, float]:
        found = {}
        for number, (name, more) in enumerate(options.items()):
            self._tell(_TIMED + (_PROBING - _TIMED) * number / len(options), f"what the output loses by {name}")
            if more:
                probe = min(more, key=lambda one: abs(one.lost - _PROBED))
                noise = self._measurer.noise(self._factorizers[name], self.factors(name, probe))
                found[name] = noise / max(probe.lost, 1e-6)
        return found


def pays(option: Option, before: Option) -> bool:
    """Whether enough of the work saved shows in the time."""
    if option.time_ms is None or not before.time_ms or not before.macs:
        return False
    return 1 - option.time_ms / before.time_ms >= WORTH * (1 - option.macs / before.macs)


def parsed(text: str) -> tuple[str, str, int]:
    """Layer, form and rank of `layer=form:rank`. Raises `ValueError`."""
    name, _, rest = text.rpartition("=")
    form, _, rank = rest.partition(":")
    if not name or not form or not rank.isdigit():
        raise ValueError(f"{text!r} should read layer=form:rank")
    return name, form, int(rank)


def _few(options: Sequence[Option], form: str) -> list[Option]:
    """Some options of one form, evenly along what they save, without those that cost and lose more than others."""
    line = frontier([one for one in options if one.form == form], lambda one: one.macs)
    step = -(-len(line) // MOST_TIMED)
    return line[::step]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
