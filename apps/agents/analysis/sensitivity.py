"""Experiments on sensitivity: first one operator type, then one layer at a time, until the time has run out.

A backend carries out an experiment: it changes the model and computes its outputs. This module decides their order,
keeps the budget and writes the notes. The measure is the signal-to-quantization-noise ratio (SQNR) at the model's
output in decibels: ten times the logarithm of the output's energy over the energy of its change (Lin et al. 2016,
https://arxiv.org/abs/1511.06393).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.agents.analysis.engine import Sensitivity, Tell
from apps.agents.contracts.errors.running import ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.reports.analysis import OperatorSensitivity


@dataclass(frozen=True)
class Experiment:
    title: str
    names: tuple[str, ...]
    op_type: str | None = None
    """The operator type, if the experiment is about one."""


def experiments(types: Mapping[str, str], order: Sequence[str]) -> Iterator[Experiment]:
    """Types first, beginning with the rarest; then layers in `order`. The only layer of a type is not repeated.

    `types` maps the name of each layer that can be quantized to its operator type.
    """
    by_type: dict[str, list[str]] = {}
    for name, op_type in types.items():
        by_type.setdefault(op_type, []).append(name)
    for op_type, names in sorted(by_type.items(), key=lambda item: (len(item[1]), item[0])):
        yield Experiment(f"every {op_type}", tuple(names), op_type)
    single = {names[0] for names in by_type.values() if len(names) == 1}
    known = types.keys() - single
    for name in order:
        if name in known:
            yield Experiment(name, (name,))


def conduct(
    planned: Sequence[Experiment],
    measure: Callable[[tuple[str, ...]], float],
    found: Sensitivity,
    *,
    budget_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure each experiment and write the results, in dB, to `found`, until `budget_s` has run out.

    `measure` takes the names of an experiment's layers. If the runtime refuses an experiment, its layers stay unknown
    and a note says so.
    """
    start = clock()
    failures: list[str] = []
    for done, experiment in enumerate(planned):
        elapsed_s = clock() - start
        if done and elapsed_s >= budget_s:
            found.notes.append(_over(planned[done:], budget_s))
            break
        eta_s = min(budget_s - elapsed_s, elapsed_s / done * (len(planned) - done)) if done else None
        tell(done / len(planned), f"Sensitivity of {experiment.title}", eta_s)
        try:
            result = measure(experiment.names)
        except (ModelNotLoadable, ModelRunFailed) as error:
            failures.append(f"{experiment.title} ({error.context['reason']})")
            continue
        if experiment.op_type:
            count = len(experiment.names)
            found.operators.append(OperatorSensitivity(op_type=experiment.op_type, count=count, sqnr_db=result))
        if len(experiment.names) == 1:
            found.layers[experiment.names[0]] = result
    found.operators.sort(key=lambda entry: entry.sqnr_db)
    if failures:
        found.notes.append(f"The runtime refused {len(failures)} experiments: {'; '.join(failures[:3])}.")


def _over(left: Sequence[Experiment], budget_s: float) -> str:
    counted = Counter("operator type" if item.op_type else "layer" for item in left)
    counts = " and ".join(f"{count} {what}{'s' * (count > 1)}" for what, count in counted.items())
    return f"The time for sensitivity ({budget_s:.0f} s) ran out before {counts} were measured."
