"""The file of what both models answered to the test examples."""

from __future__ import annotations

from pathlib import Path

from apps.agents.contracts.job import OutputFile
from apps.agents.datasets.excerpts import excerpt_of
from apps.agents.datasets.loading import Dataset
from apps.agents.evaluation.answers import AnswerWatch
from apps.agents.files.answers_file import FILENAME, ROLE, write_answers


def answers_of(watch: AnswerWatch, dataset: Dataset, out: Path) -> OutputFile:
    """Writes the answers that `watch` saw to the folder `out`, with an excerpt of each example that is shown."""
    answers = watch.answers(dataset)
    found = [excerpt_of(dataset.source, one.example) for one in answers.shown]
    shown = tuple(
        one.model_copy(update={"excerpt": excerpt}) for one, (excerpt, _) in zip(answers.shown, found, strict=True)
    )
    pictures = {excerpt.picture: content for excerpt, content in found if excerpt.picture and content}
    write_answers(out / FILENAME, answers.model_copy(update={"shown": shown}), pictures)
    return OutputFile(role=ROLE, path=f"out/{FILENAME}", filename=FILENAME)
