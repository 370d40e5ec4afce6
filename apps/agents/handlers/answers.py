"""The file of what was seen when a candidate was judged: both models' answers, and what its runtime ran."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.job import OutputFile
from apps.agents.contracts.reports.answers import RanOperator
from apps.agents.datasets.excerpts import excerpt_of
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.files.answers_file import FILENAME, ROLE, write_answers
from apps.agents.measuring.engine import Engine
from apps.errors import UserError

PROFILE_S = 0.3
MOST_RUNS = 20
SLOWEST_MS = 2_000.0
"""A model whose runs take longer is not profiled: it would cost as much as its timing did."""


def answers_of(watch: AnswerWatch, dataset: Dataset, out: Path, ran: Sequence[RanOperator] = ()) -> OutputFile:
    """Writes the answers that `watch` saw to the folder `out`, with an excerpt of each example that is shown, and the
    operators that the candidate's runtime `ran`."""
    answers = watch.answers(dataset)
    found = [excerpt_of(dataset.source, one.example) for one in answers.shown]
    shown = tuple(
        one.model_copy(update={"excerpt": excerpt}) for one, (excerpt, _) in zip(answers.shown, found, strict=True)
    )
    pictures = {excerpt.picture: content for excerpt, content in found if excerpt.picture and content}
    write_answers(out / FILENAME, answers.model_copy(update={"shown": shown}), pictures, ran)
    return OutputFile(role=ROLE, path=f"out/{FILENAME}", filename=FILENAME)


def ran_by(candidate: Engine, dataset: Dataset, target: Target, p50_ms: float) -> tuple[RanOperator, ...]:
    """Every operator of a run of `candidate` with its time; empty if its runtime does not tell, or it is slow."""
    if p50_ms > SLOWEST_MS:
        return ()
    runs = max(1, min(MOST_RUNS, round(PROFILE_S * 1000 / max(p50_ms, 1e-3))))
    try:
        times = candidate.profile(dataset.first(target.batch_size), target, runs)
    except UserError:
        return ()
    return tuple(
        RanOperator(layer=one.name, operator=one.op_type, time_ms=one.time_ms, dequantized=one.dequantized)
        for one in times or ()
    )
