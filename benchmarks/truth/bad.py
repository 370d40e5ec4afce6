"""Whether known-bad candidates are ever handed over, each alone in a session and all of them beside a good one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from benchmarks.truth.bad_models import bad_models
from benchmarks.truth.form import Form
from benchmarks.truth.material import Material
from benchmarks.truth.rows import Row
from benchmarks.truth.session import Bench

ASKED = Criteria(objective=Objective.LATENCY, constraints=Constraints(max_metric_drop_points=1.0, min_speedup=1.1))
"""What is inconclusive may be tolerated, as in most profiles: the harder case for a bad candidate."""


def rows(form: Form, material: Material) -> Iterator[Row]:
    bench, files = Bench(material), bad_models(material)
    for wrong, path in files.items() if form.alone else ():
        sessions = [bench.verdict({wrong: path}, ASKED, seed) for seed in range(form.seeds)]
        shipped = sum(session.shipped is not None for session in sessions)
        yield none(f"{material.name}, the only candidate is bad ({wrong}): it wins", shipped, form.seeds)
    yield from together(bench, files, form.seeds, material.name)


def together(bench: Bench, files: Mapping[str, Path], seeds: int, whose: str, before: str = "") -> Iterator[Row]:
    """Sessions that choose among all of them and a good one; `before` is what was said of them then."""
    good = bench.material.int8
    shipped = [bench.verdict({**files, "good": good}, ASKED, seed).shipped for seed in range(seeds)]
    bad = sum(path not in (None, good) for path in shipped)
    yield none(f"{whose}, all {len(files)} together with a good one: a bad one wins", bad, seeds, before)
    yield Row("the same: the good one wins", "–", f"{shipped.count(good)} of {seeds}", None)


def none(claim: str, shipped: int, sessions: int, before: str = "") -> Row:
    return Row(claim, "0", f"{shipped} of {sessions}", shipped == 0, before)
