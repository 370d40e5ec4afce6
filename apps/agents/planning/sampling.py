"""Proposes settings for the parameters of a chain with Optuna, from what was measured so far.

The study is built anew each time, from values and a seed alone, so the same measurements give the same proposals.
Objectives are minimized together. Limits are constraints, so that a setting beyond a limit shows where not to look.
The middle of the brackets is proposed first, as in a bisection. Imported in a child process only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from apps.agents.contracts.refinement import Dimension, Observed, Refinement, RefineParameters, Setting

if TYPE_CHECKING:
    import optuna

DROP = "drop"
"""The objective that is minimized. All others are maximized."""
STARTUP = 4
"""With fewer measurements, settings are drawn evenly from the brackets."""
MANY = 48
"""From this many measurements on, NSGA-II proposes instead of TPE, whose densities are made for few."""
POPULATION = 16
"""Candidates per generation of NSGA-II."""
MUTATION = 0.1
"""The chance that NSGA-II draws a value anew, which is for finding other places, and small where one is refined."""
DRAWS = 20
"""How often a sampler is asked for each proposal, as it may repeat what is known."""
_TPE = "a tree-structured Parzen estimator (TPE)"
_NSGA2 = "a genetic algorithm (NSGA-II)"


def propose(parameters: RefineParameters, seed: int) -> Refinement:
    """At most `parameters.count` settings that are not known yet. `seed` is the session's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    many = len(parameters.observed) >= MANY
    names = sorted({name for one in parameters.observed for name in one.objectives})
    study = optuna.create_study(
        directions=["minimize" if name == DROP else "maximize" for name in names],
        sampler=_sampler(parameters, seed, many=many),
    )
    space = {one.name: _distribution(one) for one in parameters.dimensions}
    for number, observed in enumerate(parameters.observed):
        study.add_trial(_trial(observed, names, space, number // POPULATION))
    study.enqueue_trial({one.name: _middle(one, parameters) for one in parameters.dimensions})
    found: list[Setting] = []
    for setting in _asked(study, parameters.dimensions, space, DRAWS * parameters.count):
        if setting not in found and setting not in parameters.known:
            found.append(setting)
        if len(found) == parameters.count:
            break
    return Refinement(sampler=_NSGA2 if many else _TPE, proposals=tuple(found))


def _sampler(parameters: RefineParameters, seed: int, *, many: bool) -> optuna.samplers.BaseSampler:
    import optuna

    drawn = _seed(parameters, seed)
    if many:
        return optuna.samplers.NSGAIISampler(population_size=POPULATION, mutation_prob=MUTATION, seed=drawn)
    return optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=drawn)


def _seed(parameters: RefineParameters, seed: int) -> int:
    """From the session's seed, the chain, and the number of its candidates: another one each time that it is asked."""
    chain = [link.technique for link in parameters.around.steps]
    text = json.dumps([seed, chain, len(parameters.observed), len(parameters.known)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    import optuna

    if not dimension.numeric:
        return optuna.distributions.CategoricalDistribution(dimension.choices)
    if dimension.step is not None:
        return optuna.distributions.IntDistribution(int(dimension.low), int(dimension.high), step=dimension.step)
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high)


def _middle(dimension: Dimension, parameters: RefineParameters) -> Any:
    """What is asked first: the middle of a range, and the choice of the candidate around which it is refined."""
    if not dimension.numeric:
        return parameters.around.steps[dimension.link].parameters[dimension.parameter]
    if dimension.step is not None:
        steps = int((dimension.high - dimension.low) // dimension.step)
        return int(dimension.low) + dimension.step * (steps // 2)
    return (dimension.low + dimension.high) / 2


def _trial(
    observed: Observed,
    names: Sequence[str],
    space: Mapping[str, optuna.distributions.BaseDistribution],
    generation: int,
) -> optuna.trial.FrozenTrial:
    """A measurement as a finished trial. NSGA-II reads its generation, which Optuna notes for trials of its own."""
    import optuna

    return optuna.trial.create_trial(
        params=observed.setting,
        distributions=dict(space),
        values=[observed.objectives[name] for name in names],
        system_attrs={"NSGAIISampler:generation": generation},
        constraints=observed.beyond,
    )


def _asked(
    study: optuna.Study,
    dimensions: Sequence[Dimension],
    space: Mapping[str, optuna.distributions.BaseDistribution],
    times: int,
) -> Iterator[Setting]:
    """Settings as the sampler gives them. Those that were given already count as being measured."""
    for _ in range(times):
        trial = study.ask(dict(space))
        yield {one.name: _rounded(one, trial.params[one.name]) for one in dimensions}


def _rounded(dimension: Dimension, value: Any) -> Any:
    """A number with no more digits than matter: to a hundredth of the range."""
    if not dimension.numeric or dimension.step is not None:
        return value
    digits = 2
    while dimension.high - dimension.low < 10 ** (1 - digits) and digits < 9:
        digits += 1
    return min(dimension.high, max(dimension.low, round(float(value), digits)))
