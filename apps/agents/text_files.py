"""Files of texts: plain text with a document between blank lines, or one JSON object a line. Light, and no tokens yet.

Every line is looked at. What is wrong with one is said with its number, as an editor counts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.agents.dataset_spec import MINIMUM_EXAMPLES, DatasetSpec
from apps.agents.errors import (
    AnswerOutOfRange,
    TextBlank,
    TextClassUnknown,
    TextEncodingBroken,
    TextFieldInvalid,
    TextFieldMissing,
    TextLineBroken,
    TextOneWord,
    TextsUnlabelled,
)
from apps.agents.reports import Task

PIECES = 100
"""What fewer documents than a data set needs are cut into, where they are long enough."""
SHORTEST_PIECE = 200
"""Characters."""
MOST_CHOICES = 100
MOST_CLASSES = 1_000_000
SHOWN_CHARACTERS = 60
"""Of a wrong value, in an error."""
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class Example:
    """The strings of one example, and its label: a class number, a score, the place of the right choice, or none."""

    texts: tuple[str, ...]
    """One for each of the file's fields; of a choice the context and then every choice."""
    label: int | float | None = None


@dataclass(frozen=True)
class TextFile:
    """`fields` are those that texts stand in: one, two of a pair, or `context` and `choices`."""

    fields: tuple[str, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        return sum(len(text) for example in self.examples for text in example.texts)


def read_texts(path: Path, spec: DatasetSpec) -> TextFile:
    """The texts at `path` as the spec's task reads them. Raises the `Text…` errors and `AnswerOutOfRange`.

    Where the task needs no labels, fewer documents than a data set needs are cut into pieces.
    """
    lines = list(_lines(path))
    if _is_json(lines):
        found = _JsonLines(spec).read(lines)
    elif spec.needs_labels:
        raise TextsUnlabelled(task=spec.task, example=example_line(spec), field="task")
    else:
        found = _plain(lines, spec)
    return found if spec.needs_labels else _in_pieces(found)


def example_line(spec: DatasetSpec) -> str:
    """What a line for the spec's task looks like."""
    names = spec.reading
    line: dict[str, object] = {names.text: "…"}
    if spec.task is Task.CLASSIFICATION:
        line[names.label] = 0
    elif spec.task is Task.EMBEDDING:
        line = {names.text_a: "…", names.text_b: "…", names.score: 0.5}
    elif spec.task is Task.MULTIPLE_CHOICE:
        line = {names.context: "…", names.choices: ["…", "…"], names.answer: 0}
    return json.dumps(line, ensure_ascii=False)


def _lines(path: Path) -> Iterator[str]:
    """Without their ends. A byte order mark at the very beginning is none of the text."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                reason = f"byte {error.start + 1} of it is 0x{raw[error.start]:02x}"
                raise TextEncodingBroken(line=number, reason=reason, field="file") from error
            yield line.rstrip("\r\n")


def _is_json(lines: Sequence[str]) -> bool:
    """Whether the first line that is not blank begins an object. Two braces are no JSON, but common in markup."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    return first.startswith("{") and not first.startswith("{{")


# --- plain text -------------------------------------------------------------------------------------------------------


def _plain(lines: Sequence[str], spec: DatasetSpec) -> TextFile:
    separator = spec.reading.separator
    text = "\n".join(lines)
    parts = text.split(separator) if separator else _BLANK_LINES.split(text)
    documents = (part.strip() for part in parts)
    return TextFile((spec.reading.text,), tuple(Example((document,)) for document in documents if document))


def _in_pieces(found: TextFile) -> TextFile:
    """The same texts as more examples, where there are too few documents."""
    documents = [example.texts[0] for example in found.examples]
    if not documents or len(documents) >= MINIMUM_EXAMPLES:
        return found
    size = max(SHORTEST_PIECE, sum(map(len, documents)) // PIECES)
    pieces = [piece for document in documents for piece in _pieces(document, size)]
    note = (
        f"There are too few documents, so they are cut into {len(pieces)} pieces of about {size:,} characters, which "
        "count as examples: intervals say how these texts vary, not how others would."
    )
    return TextFile(found.fields, tuple(Example((piece,)) for piece in pieces), (*found.notes, note))


def _pieces(document: str, size: int) -> Iterator[str]:
    """Cut at the first white space at or behind every `size` characters."""
    start = 0
    while start < len(document):
        space = _SPACE.search(document, start + size)
        end = space.start() if space else len(document)
        if piece := document[start:end].strip():
            yield piece
        start = end if end > start else end + 1


# --- JSON lines -------------------------------------------------------------------------------------------------------


class _JsonLines:
    """Reads every line the way the task, and for a choice the first line, says."""

    def __init__(self, spec: DatasetSpec) -> None:
        self._spec = spec
        self._names = spec.reading
        self._example = example_line(spec)

    def read(self, lines: Sequence[str]) -> TextFile:
        numbered = [(number, self._object(line, number)) for number, line in enumerate(lines, 1) if line.strip()]
        fields, read = self._form(numbered[0][1])
        return TextFile(fields, tuple(read(line, number) for number, line in numbered))

    def _form(self, first: Mapping[str, Any]) -> tuple[tuple[str, ...], Callable[[Mapping[str, Any], int], Example]]:
        names = self._names
        if self._spec.task is Task.CLASSIFICATION:
            return (names.text,), self._classified
        if self._spec.task is Task.EMBEDDING:
            return (names.text_a, names.text_b), self._pair
        if self._spec.task is not Task.MULTIPLE_CHOICE:
            return (names.text,), self._alone
        if names.text in first and names.choices not in first:
            return (names.text,), self._last_word
        return (names.context, names.choices), self._choice

    def _object(self, line: str, number: int) -> Mapping[str, Any]:
        try:
            found = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise TextLineBroken(line=number, reason=str(error), example=self._example, field="file") from error
        if not isinstance(found, dict):
            reason = f"it is {shown(found)}"
            raise TextLineBroken(line=number, reason=reason, example=self._example, field="file")
        return found

    def _alone(self, line: Mapping[str, Any], number: int) -> Example:
        return Example((self._text(line, self._names.text, number),))

    def _last_word(self, line: Mapping[str, Any], number: int) -> Example:
        text = self._text(line, self._names.text, number).strip()
        _refuse_one_word(text, self._names.text, number, self._spec)
        return Example((text,))

    def _pair(self, line: Mapping[str, Any], number: int) -> Example:
        names = self._names
        texts = tuple(self._text(line, name, number) for name in (names.text_a, names.text_b))
        score = self._value(line, names.score, number)
        if isinstance(score, bool) or not isinstance(score, int | float) or not _is_finite(score):
            raise TextFieldInvalid(name=names.score, line=number, found=shown(score), wanted="a number", field="file")
        return Example(texts, float(score))

    def _classified(self, line: Mapping[str, Any], number: int) -> Example:
        name, classes = self._names.label, self._spec.classes
        label = self._value(line, name, number)
        if isinstance(label, str) and label in classes:
            label = classes.index(label)
        whole = isinstance(label, int) and not isinstance(label, bool)
        if not whole or not 0 <= label < (len(classes) or MOST_CLASSES):
            known = ", ".join(classes[:20]) or "none are listed"
            raise TextClassUnknown(name=name, line=number, found=shown(label), known=known, field="classes")
        return Example((self._text(line, self._names.text, number),), label)

    def _choice(self, line: Mapping[str, Any], number: int) -> Example:
        names = self._names
        context = self._text(line, names.context, number)
        choices = self._value(line, names.choices, number)
        if not isinstance(choices, list) or not 2 <= len(choices) <= MOST_CHOICES:
            found = f"a list of {len(choices)}" if isinstance(choices, list) else shown(choices)
            wanted = f"a list of 2 to {MOST_CHOICES} texts"
            raise TextFieldInvalid(name=names.choices, line=number, found=found, wanted=wanted, field="file")
        texts = [self._checked(choice, f"{names.choices}[{place}]", number) for place, choice in enumerate(choices)]
        answer = self._value(line, names.answer, number)
        if isinstance(answer, bool) or not isinstance(answer, int):
            wanted = "the place of the right choice, an integer from 0"
            raise TextFieldInvalid(name=names.answer, line=number, found=shown(answer), wanted=wanted, field="file")
        if not 0 <= answer < len(texts):
            raise AnswerOutOfRange(
                name=names.answer,
                line=number,
                answer=shown(answer),
                choices=len(texts),
                last=len(texts) - 1,
                field="file",
            )
        return Example((context, *texts), answer)

    def _text(self, line: Mapping[str, Any], name: str, number: int) -> str:
        return self._checked(self._value(line, name, number), name, number)

    def _value(self, line: Mapping[str, Any], name: str, number: int) -> Any:
        if name not in line:
            found = ", ".join(shown(key) for key in list(line)[:10]) or "nothing"
            raise TextFieldMissing(line=number, name=name, found=found, example=self._example, field="file")
        return line[name]

    def _checked(self, value: Any, name: str, number: int) -> str:
        if not isinstance(value, str):
            raise TextFieldInvalid(name=name, line=number, found=shown(value), wanted="a text", field="file")
        if not value.strip():
            raise TextBlank(name=name, line=number, field="file")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise TextFieldInvalid(
                name=name, line=number, found="a text with half a surrogate pair", wanted="whole characters"
            ) from error
        return value


def shown(value: object) -> str:
    """A wrong value as JSON writes it, cut where it is long."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _refuse_one_word(text: str, name: str, number: int, spec: DatasetSpec) -> None:
    if len(text.split()) < 2:
        names = spec.reading
        raise TextOneWord(name=name, line=number, choices=names.choices, answer=names.answer, field="file")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
