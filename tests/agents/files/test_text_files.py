"""Files of texts: what is read, and what is said of a line that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from apps.agents.contracts.dataset_spec import DatasetSpec, Metric, TextReading
from apps.agents.contracts.errors.datasets import DatasetEmpty, TooFewExamples
from apps.agents.contracts.errors.texts import (
    AnswerOutOfRange,
    TextBlank,
    TextClassUnknown,
    TextEncodingBroken,
    TextFieldInvalid,
    TextFieldMissing,
    TextLineBroken,
    TextOneWord,
    TextsUnlabelled,
    TokenizerMissing,
)
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.datasets.inspection import inspect_examples
from apps.agents.files.text_files import read_texts
from apps.agents.handlers.datasets import inspect_dataset
from apps.errors import UserError
from tests.agents.encoders import LetterEngine
from tests.agents.told import Told


def spec(task: str, **more: Any) -> DatasetSpec:
    return DatasetSpec(kind="text", task=task, **more)


PERPLEXITY = spec("language_modeling")
CLASSES = spec("classification", classes=("ham", "spam"))
PAIRS = spec("embedding", pooling="mean")
CHOICE = spec("multiple_choice")


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "texts"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


# --- what is read ----------------------------------------------------------------------------------------------------


def test_plain_text_has_a_document_between_blank_lines(tmp_path: Path) -> None:
    documents = [f"Document {n}\nhas two lines." for n in range(30)]
    path = tmp_path / "texts"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n  \r\n\r\n".join(documents).replace("\n", "\r\n").encode())
    found = read_texts(path, PERPLEXITY)
    assert found.fields == ("text",)
    assert [example.texts[0].replace("\r", "") for example in found.examples] == [
        document.replace("\r", "") for document in documents
    ]
    assert found.notes == ()


def test_documents_can_be_told_apart_by_a_separator(tmp_path: Path) -> None:
    path = written(tmp_path, *(f"one\n\nstill {n}\n<end>" for n in range(25)))
    found = read_texts(path, spec("language_modeling", text=TextReading(separator="<end>")))
    assert [example.texts[0] for example in found.examples] == [f"one\n\nstill {n}" for n in range(25)]


def test_a_single_document_is_cut_into_pieces_and_the_note_says_so(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(6000)]
    found = read_texts(written(tmp_path, " ".join(words)), PERPLEXITY)
    assert 80 <= len(found.examples) <= 100
    assert " ".join(example.texts[0] for example in found.examples).split() == words
    (note,) = found.notes
    assert "There are too few documents, so they are cut into" in note
    inspection = inspect_examples(tmp_path / "texts", PERPLEXITY)
    assert inspection.notes[0] == note
    assert inspection.summary.characters == sum(len(example.texts[0]) for example in found.examples)


def test_a_text_that_is_too_short_for_pieces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooFewExamples):
        inspect_examples(written(tmp_path, "A short text of a few words only."), PERPLEXITY)


def test_very_many_texts_are_read_with_a_warning(tmp_path: Path) -> None:
    found = read_texts(written(tmp_path, *({"text": "word " * 20_000} for _ in range(21))), PERPLEXITY)
    assert len(found.examples) == 21
    assert found.notes[0].startswith("The texts have 2,100,000 characters")


def test_the_job_checks_texts_against_a_model(tmp_path: Path) -> None:
    path = written(tmp_path, *({"text": f"text {n}"} for n in range(25)))
    arguments = {
        "spec": PERPLEXITY.model_dump(mode="json"),
        "model": LetterEngine().summary.model_dump(mode="json"),
    }
    job = Job(handler="", scratch=tmp_path, inputs={"dataset": path}, arguments=arguments)
    summary = DatasetSummary.model_validate(inspect_dataset(Told(job)).body)  # type: ignore[arg-type]
    assert (summary.kind, summary.examples, summary.characters) == ("text", 25, 165)
    onnx = LetterEngine().summary.model_copy(update={"format": "onnx", "language": None})
    other = job.model_copy(update={"arguments": arguments | {"model": onnx.model_dump(mode="json")}})
    with pytest.raises(TokenizerMissing):
        inspect_dataset(Told(other))  # type: ignore[arg-type]


def test_braces_twice_are_no_json(tmp_path: Path) -> None:
    found = read_texts(written(tmp_path, *("{{Infobox}}\n\n",) * 25), PERPLEXITY)
    assert found.examples[0].texts == ("{{Infobox}}",)


def test_every_task_reads_its_fields_by_the_names_given(tmp_path: Path) -> None:
    names = TextReading(text="t", label="l", text_a="a", text_b="b", score="s", context="c", choices="o", answer="r")
    line = {"t": "two words", "l": "spam", "a": "left", "b": "right", "s": 2, "c": "one", "o": ["x", "y", "z"], "r": 2}
    path = written(tmp_path, line, "", line)

    def first(task: str, **more: Any) -> tuple[tuple[str, ...], float | None]:
        found = read_texts(path, spec(task, text=names, **more))
        assert len(found.examples) == 2
        return found.examples[0].texts, found.examples[0].label

    assert first("classification", classes=("ham", "spam")) == (("two words",), 1)
    assert first("embedding") == (("left", "right"), 2.0)
    assert first("multiple_choice") == (("one", "x", "y", "z"), 2)
    assert first("fidelity") == (("two words",), None)


def test_lines_without_choices_have_a_last_word(tmp_path: Path) -> None:
    found = read_texts(written(tmp_path, {"text": "to be predicted "}), CHOICE)
    assert (found.fields, found.examples[0].texts, found.examples[0].label) == (("text",), ("to be predicted",), None)


def test_the_full_check_counts_classes_and_duplicates(tmp_path: Path) -> None:
    lines = [{"text": f"text {n}", "label": n % 2} for n in range(30)] + [{"text": "text 0", "label": 1}]
    summary = inspect_examples(written(tmp_path, *lines), CLASSES)
    assert summary.class_counts == {"ham": 15, "spam": 16}
    assert (summary.duplicates, summary.contradictions) == (1, 1)
    assert str(summary.summary.inputs[0]) == "text: string[N]"
    assert str(summary.summary.labels) == "label: int64[N]"


def test_the_full_check_reads_choices(tmp_path: Path) -> None:
    lines = [{"context": f"{n} is", "choices": ["odd", "even"], "answer": 1} for n in range(25)]
    found = inspect_examples(written(tmp_path, *lines), CHOICE)
    assert [str(each) for each in found.summary.inputs] == ["context: string[N]", "choices: string[N]"]
    assert found.duplicates == 0


# --- what is refused -------------------------------------------------------------------------------------------------

GOOD = {"context": "one", "choices": ["x", "y"], "answer": 0}


@pytest.mark.parametrize(
    ("reading", "lines", "error", "said"),
    [
        (PERPLEXITY, ['{"text": "a"}', "{text: 3}"], TextLineBroken, "Line 2 of the data set is not a JSON object"),
        (PERPLEXITY, ['{"text": "a"}', "[1]"], TextLineBroken, 'it is [1]. Write one object per line, such as {"text"'),
        (PERPLEXITY, ['{"text": "a"}', '{"text":' + "[" * 100_000], TextLineBroken, "Line 2"),
        (PAIRS, [{"text_a": "x", "text_b": "y", "score": float("nan")}], TextLineBroken, "NaN is not JSON"),
        (PERPLEXITY, [{"body": "a"}], TextFieldMissing, "Line 1 of the data set has no 'text': it has \"body\"."),
        (PERPLEXITY, [{"text": 3}], TextFieldInvalid, "'text' in line 1 of the data set is 3, but a text is required."),
        (PERPLEXITY, ['{"text": "\\ud800"}'], TextFieldInvalid, "half a surrogate pair"),
        (PERPLEXITY, [{"text": "a"}, {"text": " \n"}], TextBlank, "'text' in line 2"),
        (CLASSES, ["plain text"], TextsUnlabelled, "The task classification needs more than plain text"),
        (CHOICE, ["plain text"], TextsUnlabelled, '"choices": ["…", "…"], "answer": 0}'),
        (CLASSES, [{"text": "a", "label": "eggs"}], TextClassUnknown, '"eggs", which is not one of the classes: ham'),
        (CLASSES, [{"text": "a", "label": 2}], TextClassUnknown, "'label' in line 1 of the data set is 2"),
        (CLASSES, [{"text": "a", "label": True}], TextClassUnknown, "is true"),
        (spec("classification"), [{"text": "a", "label": 10**30}], TextClassUnknown, "none are listed"),
        (PAIRS, [{"text_a": "x", "text_b": "y", "score": "z"}], TextFieldInvalid, "a number is required"),
        (PAIRS, [{"text_a": "x", "text_b": "y", "score": 10**400}], TextFieldInvalid, "'score'"),
        (PAIRS, [{"text_a": "x", "score": 1}], TextFieldMissing, "no 'text_b'"),
        (CHOICE, [GOOD, GOOD | {"answer": 2}], AnswerOutOfRange, "there are 2 choices. Write the index"),
        (CHOICE, [GOOD | {"answer": -1}], AnswerOutOfRange, "from 0 to 1"),
        (CHOICE, [GOOD | {"answer": "x"}], TextFieldInvalid, "an integer from 0 is required"),
        (CHOICE, [GOOD | {"choices": ["x"]}], TextFieldInvalid, "a list of 1, but a list of 2 to 100 texts"),
        (CHOICE, [GOOD | {"choices": ["x", ""]}], TextBlank, "'choices[1]' in line 1"),
        (CHOICE, [{"text": "alone"}], TextOneWord, "is a single word, but the last word"),
        (PERPLEXITY, ["", "  "], DatasetEmpty, "no examples"),
    ],
)
def test_a_wrong_line_is_named_with_what_would_be_right(
    tmp_path: Path, reading: DatasetSpec, lines: list[object], error: type[UserError], said: str
) -> None:
    with pytest.raises(error) as raised:
        inspect_examples(written(tmp_path, *lines), reading)
    assert said in raised.value.message


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes("Eins.\n\nZwölf.".encode("latin-1"))
    with pytest.raises(TextEncodingBroken, match=r"Line 3 of the data set is not UTF-8: byte 3 of it is 0xf6\."):
        read_texts(tmp_path / "texts", PERPLEXITY)


# --- the spec --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "text", "task": "regression"}, "task regression does not go with texts"),
        ({"kind": "npz", "task": "language_modeling"}, "the kind must be text"),
        ({"kind": "npz", "task": "fidelity", "text": {}}, "text does not go with kind npz"),
        ({"kind": "text", "task": "language_modeling", "metric": "top1"}, "choose one of perplexity, nll"),
        ({"kind": "text", "task": "embedding", "metric": "cosine"}, "choose one of spearman"),
        ({"kind": "text", "task": "fidelity", "text": {"max_tokens": 4}}, "max_tokens"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DatasetSpec.model_validate(fields)


def test_each_task_on_texts_has_its_usual_metric_and_its_labels() -> None:
    assert [spec(task).primary_metric for task in ("language_modeling", "multiple_choice", "embedding")] == [
        Metric.PERPLEXITY,
        Metric.ACCURACY,
        Metric.SPEARMAN,
    ]
    assert [spec(task).label_name for task in ("classification", "multiple_choice", "embedding")] == [
        "label",
        "answer",
        "score",
    ]
