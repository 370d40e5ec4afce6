"""From texts to rows of tokens: windows, truncation, and the target tokens, by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.agents.contracts.dataset_spec import TextReading
from apps.agents.contracts.errors.texts import ModelUnfitForTexts
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.text import TextEncoder
from apps.agents.files.text_lines import Example

Tokens = list[int]


@dataclass(frozen=True)
class Row:
    """Token ids without padding. Each token from position `start` on is predicted from those before it."""

    ids: Tokens
    example: int
    start: int
    choice: int = 0
    characters: int = 0
    right: bool = True


@dataclass
class Cuts:
    """How many texts did not fit into a row unchanged."""

    split: int = 0
    """Texts split into several windows."""
    shortened: int = 0
    unpredictable: int = 0
    """Texts of a single token, which cannot be predicted."""


@dataclass(frozen=True)
class Frame:
    """The special tokens that the model needs before and after a text."""

    before: Tokens
    after: Tokens


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of examples for one task, none longer than `length` tokens."""

    encoder: TextEncoder
    task: Task
    reading: TextReading
    length: int
    frame: Frame

    def rows(self, examples: Sequence[Example], numbers: Sequence[int]) -> tuple[list[Row], Cuts]:
        """The rows of `examples`, whose indices are `numbers`, in their order. A pair becomes two adjacent rows."""
        cuts = Cuts()
        if self.task is Task.LANGUAGE_MODELING:
            return self._windows(examples, numbers, cuts), cuts
        if self.task is Task.MULTIPLE_CHOICE:
            return self._continuations(examples, numbers, cuts), cuts
        return self._whole(examples, numbers, cuts), cuts

    def _whole(self, examples: Sequence[Example], numbers: Sequence[int], cuts: Cuts) -> list[Row]:
        """Each text in one row. A text that is too long is cut at its end, before its closing special tokens."""
        owners = [number for example, number in zip(examples, numbers, strict=True) for _ in example.texts]
        rows = []
        for ids, owner in zip(
            self.encoder.encode([text for example in examples for text in example.texts]), owners, strict=True
        ):
            kept = ids
            if len(ids) > self.length:
                cuts.shortened += 1
                kept = ids[: self.length - len(self.frame.after)] + self.frame.after
            rows.append(Row(kept, owner, len(kept)))
        return rows

    # --- language modeling --------------------------------------------------------------------------------------------

    def _windows(self, examples: Sequence[Example], numbers: Sequence[int], cuts: Cuts) -> list[Row]:
        """Windows without overlap, each after the tokens that begin a text. Every token is predicted once."""
        before = self.frame.before
        room = self.length - len(before)
        rows = []
        encoded = self.encoder.encode([example.texts[0] for example in examples], special=False)
        for ids, number in zip(encoded, numbers, strict=True):
            cuts.split += len(ids) > room
            cuts.unpredictable += len(before) + len(ids) < 2
            parts = (before + ids[at : at + room] for at in range(0, len(ids), room))
            rows += [Row(part, number, max(1, len(before))) for part in parts if len(part) > 1]
        return rows

    # --- continuations ------------------------------------------------------------------------------------------------

    def _continuations(self, examples: Sequence[Example], numbers: Sequence[int], cuts: Cuts) -> list[Row]:
        found = [
            (number, context, choice, place, example.label is None or place == example.label)
            for example, number in zip(examples, numbers, strict=True)
            for place, (context, choice) in enumerate(self._split(example))
        ]
        contexts = self.encoder.encode([context for _, context, *_ in found], special=False)
        wholes = self.encoder.encode([context + choice for _, context, choice, *_ in found], special=False)
        return [
            self._continuation(Row(whole, number, _common(context, whole), place, len(choice.strip()), right), cuts)
            for (number, _, choice, place, right), context, whole in zip(found, contexts, wholes, strict=True)
        ]

    def _split(self, example: Example) -> list[tuple[str, str]]:
        """Context and continuation. White space between them belongs to the continuation."""
        if len(example.texts) == 1:
            text = example.texts[0].rstrip()
            context = text[: -len(text.split()[-1])].rstrip()
            return [(context, text[len(context) :])]
        context = example.texts[0].rstrip()
        between = example.texts[0][len(context) :]
        joint = between or self.reading.joint
        return [(context, choice if choice[0].isspace() else joint + choice) for choice in example.texts[1:]]

    def _continuation(self, row: Row, cuts: Cuts) -> Row:
        """The row after the tokens that begin a text. If the context is too long, its beginning is cut off."""
        before = self.frame.before
        dropped = max(0, len(before) + len(row.ids) - self.length)
        cuts.shortened += dropped > 0
        ids = before + row.ids[dropped:]
        start = max(1, len(before), len(before) + row.start - dropped)
        return Row(ids, row.example, min(start, len(ids) - 1), row.choice, row.characters, row.right)


def frame_of(encoder: TextEncoder, task: Task) -> Frame:
    """The tokens that the tokenizer adds around a text. Raises `ModelUnfitForTexts` if they change the text's own."""
    plain, framed = encoder.encode(["a"], special=False)[0], encoder.encode(["a"])[0]
    for at in range(len(framed) - len(plain) + 1):
        if framed[at : at + len(plain)] == plain:
            return Frame(framed[:at], framed[at + len(plain) :])
    reason = "special tokens around a text change the text's own tokens"
    raise ModelUnfitForTexts(task=task, reason=f"its tokenizer is not usable: {reason}")


def _common(context: Tokens, whole: Tokens) -> int:
    """How many tokens both begin with. A last token of the context that the continuation changes is predicted too."""
    for at, (one, other) in enumerate(zip(context, whole, strict=False)):
        if one != other:
            return at
    return min(len(context), len(whole))
