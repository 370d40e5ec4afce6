"""Texts as one JSON object per line: what each line must contain, and the errors for a wrong one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.texts import (
    AnswerOutOfRange,
    TextBlank,
    TextClassUnknown,
    TextFieldInvalid,
    TextFieldMissing,
    TextLineBroken,
    TextOneWord,
)
from apps.agents.contracts.reports.dataset import Task

MOST_CHOICES = 100
MOST_CLASSES = 1_000_000
SHOWN_CHARACTERS = 60
"""Characters of a wrong value that an error shows."""


@dataclass(frozen=True)
class Example:
    """The strings of one example, and its label: a class number, a score, the index of the right choice, or `None`."""

    texts: tuple[str, ...]
    """One for each of the file's fields. For a choice: the context, then every choice."""
    label: int | float | None = None


def example_line(spec: DatasetSpec) -> str:
    """An example of a line for the spec's task."""
    names = spec.reading
    line: dict[str, object] = {names.text: "…"}
    if spec.task is Task.CLASSIFICATION:
        line[names.label] = 0
    elif spec.task is Task.EMBEDDING:
        line = {names.text_a: "…", names.text_b: "…", names.score: 0.5}
    elif spec.task is Task.MULTIPLE_CHOICE:
        line = {names.context: "…", names.choices: ["…", "…"], names.answer: 0}
    return json.dumps(line, ensure_ascii=False)


class JsonLines:
    """Reads every line in the form that the task and, for a choice, the first line determine."""

    def __init__(self, spec: DatasetSpec) -> None:
        self._spec = spec
        self._names = spec.reading
        self._example = example_line(spec)
        self.classes: tuple[str, ...] = spec.classes
        """The member's classes. If there are none and all labels are names, these in alphabetical order."""

    def read(self, lines: Sequence[str]) -> tuple[tuple[str, ...], tuple[Example, ...]]:
        """The fields that contain texts, and the examples of all lines that are not blank. At least one is required."""
        numbered = [(number, self._object(line, number)) for number, line in enumerate(lines, 1) if line.strip()]
        if self._spec.task is Task.CLASSIFICATION and not self.classes:
            labels = [line.get(self._names.label) for _, line in numbered]
            if all(isinstance(label, str) and label.strip() for label in labels):
                self.classes = tuple(sorted({str(label) for label in labels}))
        fields, read = self._form(numbered[0][1])
        return fields, tuple(read(line, number) for number, line in numbered)

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
        name, classes = self._names.label, self.classes
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
            wanted = "the index of the right choice, an integer from 0"
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
    """A wrong value as JSON, shortened if it is long."""
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
    raise ValueError(f"{constant} is not JSON")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
