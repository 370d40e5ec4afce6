"""The basis of the numbers for a data set of texts, in sentences for the reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.token_rows import Cuts, Row, RowMaker


def notes_on(maker: RowMaker, rows: Sequence[Row], cuts: Cuts, timed_tokens: int) -> tuple[str, ...]:
    """How the evaluated texts became `rows`, what was cut, and what is timed."""
    texts = len({row.example for row in rows})
    predicted = sum(len(row.ids) - row.start for row in rows)
    notes = [
        f"Rows have at most {maker.length:,} tokens, and each belongs to one text: texts are not packed. "
        f"Padding is masked and does not count.",
        *_task_notes(maker, rows, cuts, texts, predicted),
        f"Timed on rows of {timed_tokens:,} tokens, the median of the evaluated rows, without padding.",
    ]
    return tuple(notes)


def _task_notes(maker: RowMaker, rows: Sequence[Row], cuts: Cuts, texts: int, predicted: int) -> Iterator[str]:
    if maker.task is Task.LANGUAGE_MODELING:
        yield (
            f"{predicted:,} tokens of {texts:,} texts are predicted in {len(rows):,} windows. {cuts.split:,} texts are "
            "longer than a window and are split without overlap: each window is read without the text before it."
        )
        if not maker.frame.before:
            yield "The tokenizer adds no token before a text, so the first token of each window is not predicted."
        if cuts.unpredictable:
            yield f"{cuts.unpredictable:,} texts are a single token, which cannot be predicted, and do not count."
    elif maker.task is Task.MULTIPLE_CHOICE:
        yield (
            f"{len(rows):,} continuations of {texts:,} texts are read, {predicted:,} tokens of which are predicted. "
            f"In {cuts.shortened:,} of them the context is longer than a row, and its beginning is cut off."
        )
    else:
        yield f"{cuts.shortened:,} of {texts:,} examples have a text that is longer than a row; its end is cut off."
