"""Texts as rows of tokens: windows, truncation, continuations, padding, batches that stay small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.datasets import ClassesMismatch, DatasetEmpty
from apps.agents.contracts.errors.texts import ModelUnfitForTexts, TextInputUnknown, TokenizerMissing
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.dataset_fit import check_against
from apps.agents.datasets.loading import load_dataset, open_source
from apps.agents.datasets.targets import TokenTargets
from apps.agents.datasets.text_dataset import OUTPUT_BYTES, TextDataset
from apps.errors import UserError
from tests.agents.encoders import BEGIN, END, LANGUAGE, LOGITS, PAD, TEXT_INPUTS, LetterEncoder, LetterEngine

RANDOM = np.random.default_rng(2)
TEXTS = ["".join(RANDOM.choice(list("abcdefgh"), size)) for size in RANDOM.integers(2, 60, 80)]


def loaded(
    tmp_path: Path,
    task: str,
    lines: Sequence[dict[str, Any]],
    *,
    encoder: LetterEncoder | None = None,
    inputs: Sequence[TensorSpec] = TEXT_INPUTS,
    outputs: Sequence[TensorSpec] = LOGITS,
    **spec: Any,
) -> TextDataset:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    made = load_dataset(
        path,
        DatasetSpec(kind="text", task=task, **spec),
        inputs,
        seed=1,
        encoder=encoder or LetterEncoder(),
        outputs=outputs,
    )
    assert isinstance(made, TextDataset)
    return made


def plain(texts: Sequence[str] = TEXTS) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


def rows_of(feeds: dict[str, np.ndarray]) -> list[list[int]]:
    """Rows without their padding."""
    return [list(ids[mask > 0]) for ids, mask in zip(feeds["input_ids"], feeds["attention_mask"], strict=True)]


# --- language modeling -----------------------------------------------------------------------------------------------


def test_windows_hold_every_token_once_and_predict_all_of_them(tmp_path: Path) -> None:
    dataset, encoder = loaded(tmp_path, "language_modeling", plain()), LetterEncoder()
    seen: dict[int, list[list[int]]] = {}
    rows = 0
    for feeds, targets in dataset.evaluation(8):
        assert isinstance(targets, TokenTargets)
        assert feeds["input_ids"].shape[1] <= encoder.context_length
        rows += len(targets.tokens)
        for row, tokens, example in zip(rows_of(feeds), targets.tokens, targets.examples, strict=True):
            assert row[0] == BEGIN
            assert list(tokens[: len(row) - 1]) == row[1:]
            assert (tokens[len(row) - 1 :] == IGNORED).all()
            seen.setdefault(int(example), []).append(row[1:])
    assert rows == dataset.evaluation_rows
    assert set(seen) == set(map(int, dataset.evaluation_indices))
    for example, windows in seen.items():
        (whole,) = encoder.encode([TEXTS[example]], special=False)
        room = encoder.context_length - 1
        assert sorted(windows) == sorted(whole[at : at + room] for at in range(0, len(whole), room))


def test_without_a_first_token_the_first_of_a_window_is_not_predicted(tmp_path: Path) -> None:
    encoder = LetterEncoder(before=[])
    dataset = loaded(tmp_path, "language_modeling", plain(["x", *TEXTS]), encoder=encoder)
    for feeds, targets in dataset.evaluation(8):
        assert isinstance(targets, TokenTargets)
        for row, tokens in zip(rows_of(feeds), targets.tokens, strict=True):
            assert list(tokens[tokens != IGNORED]) == row[1:]
    assert any("first token of each window is not predicted" in note for note in dataset.notes)


def test_texts_in_which_nothing_can_be_predicted_are_refused(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain(["x"] * 25), encoder=LetterEncoder(before=[]))
    with pytest.raises(DatasetEmpty, match="a single token, which cannot be predicted"):
        dataset.evaluation_rows  # noqa: B018 - asking is what raises


def test_notes_count_what_was_split_and_say_that_nothing_is_packed(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain())
    evaluated = [len(TEXTS[index]) for index in dataset.evaluation_indices]
    long = sum(length > 15 for length in evaluated)
    assert "Rows have at most 16 tokens, and each belongs to one text: texts are not packed." in dataset.notes[0]
    assert f"{sum(evaluated):,} tokens of {len(evaluated)} texts are predicted" in dataset.notes[1]
    assert f"{long} texts are longer than a window and are split" in dataset.notes[1]


def test_calibration_and_evaluation_share_no_text(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain())
    assert not set(dataset.calibration_indices) & set(dataset.evaluation_indices)
    calibrated = [row for feeds in dataset.calibration(20, 4) for row in rows_of(feeds)]
    assert len(calibrated) == 20
    assert list(dataset.training(4, seed=0)) == []
    evaluated = [row for feeds, _ in dataset.evaluation(8) for row in rows_of(feeds)]
    long = [row for row in calibrated if len(row) > 6]
    assert long
    assert not any(row in evaluated for row in long)


# --- other tasks -----------------------------------------------------------------------------------------------------

CLASSES = (TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),)


@pytest.mark.parametrize(
    ("names", "classes", "says"),
    [
        (["bad", "good"], ("bad", "good"), "alphabetical order (bad, good)"),
        ([1, 2], ("1", "2"), "The labels 1 to 2 are used as classes 0 to 1."),
        ([0, 1], (), ""),
    ],
)
def test_labels_of_texts_are_names_or_numbers(
    tmp_path: Path, names: list[Any], classes: tuple[str, ...], says: str
) -> None:
    lines = [{"text": text, "label": names[len(text) % 2]} for text in TEXTS]
    dataset = loaded(tmp_path, "classification", lines, outputs=CLASSES)
    labels = np.concatenate([np.asarray(labels) for _, labels in dataset.evaluation(8)])
    assert sorted(labels) == sorted(len(TEXTS[index]) % 2 for index in dataset.evaluation_indices)
    assert dataset.summary.classes == classes
    assert says in " ".join([*dataset.notes, *dataset.summary.notes])


def test_classified_texts_are_cut_at_their_end_and_keep_the_last_special_token(tmp_path: Path) -> None:
    encoder = LetterEncoder(after=[END])
    lines = [{"text": text, "label": len(text) % 2} for text in TEXTS]
    dataset = loaded(tmp_path, "classification", lines, encoder=encoder, outputs=CLASSES)
    by_row = {}
    for feeds, labels in dataset.evaluation(8):
        assert isinstance(labels, np.ndarray)
        by_row |= {tuple(row): int(label) for row, label in zip(rows_of(feeds), labels, strict=True)}
    expected = {}
    for index in dataset.evaluation_indices:
        (ids,) = encoder.encode([TEXTS[index]])
        expected[tuple(ids if len(ids) <= 16 else [*ids[:15], END])] = len(TEXTS[index]) % 2
    assert by_row == expected
    cut = sum(len(TEXTS[index]) > 14 for index in dataset.evaluation_indices)
    assert dataset.notes[1].startswith(
        f"{cut} of {len(dataset.evaluation_indices)} examples have a text that is longer"
    )


def test_pairs_are_left_rows_and_then_right_ones_with_their_score(tmp_path: Path) -> None:
    lines = [{"text_a": text, "text_b": text[::-1], "score": len(text)} for text in TEXTS]
    dataset = loaded(tmp_path, "embedding", lines, encoder=LetterEncoder(context_length=80), pooling="mean")
    count = 0
    for feeds, scores in dataset.evaluation(7):
        assert isinstance(scores, np.ndarray)
        rows = rows_of(feeds)
        assert len(rows) == 2 * len(scores)
        for left, right, score in zip(rows[: len(scores)], rows[len(scores) :], scores, strict=True):
            assert left[1:] == right[:0:-1]
            assert len(left) == score + 1
        count += len(rows)
    assert count == dataset.evaluation_rows == 2 * len(dataset.evaluation_indices)


def choice_lines() -> list[dict[str, Any]]:
    contexts = ["ab " * size for size in range(1, 41)]
    return [{"context": text, "choices": ["cd", "efg h"], "answer": n % 2} for n, text in enumerate(contexts)]


def test_choices_are_predicted_behind_their_context_whose_beginning_is_cut(tmp_path: Path) -> None:
    lines, encoder = choice_lines(), LetterEncoder(context_length=12)
    dataset = loaded(tmp_path, "multiple_choice", lines, encoder=encoder)
    rows = {}
    for feeds, targets in dataset.evaluation(8):
        assert isinstance(targets, TokenTargets)
        for at, row in enumerate(rows_of(feeds)):
            wanted = list(targets.tokens[at][targets.tokens[at] != IGNORED])
            rows[int(targets.examples[at]), int(targets.choices[at])] = (row, wanted, bool(targets.right[at]))
            assert targets.characters[at] == (2, 5)[targets.choices[at]]
    assert len(rows) == 2 * len(dataset.evaluation_indices)
    for (example, choice), (row, wanted, right) in rows.items():
        line = lines[example]
        continuation = " " + line["choices"][choice]
        (whole,) = encoder.encode([line["context"].rstrip() + continuation], special=False)
        assert row == [BEGIN, *whole[-11:]]
        assert wanted == encoder.encode([continuation], special=False)[0]
        assert right == (choice == line["answer"])
    assert "the context is longer than a row" in dataset.notes[1]
    calibrated = [row for feeds in dataset.calibration(100) for row in rows_of(feeds)]
    assert len(calibrated) == len(dataset.calibration_indices)


def test_the_last_word_is_predicted_with_the_space_before_it(tmp_path: Path) -> None:
    encoder = LetterEncoder(context_length=40)
    dataset = loaded(tmp_path, "multiple_choice", plain([f"the {text[:20]} end" for text in TEXTS]), encoder=encoder)
    for _, targets in dataset.evaluation(8):
        assert isinstance(targets, TokenTargets)
        for tokens in targets.tokens:
            assert list(tokens[tokens != IGNORED]) == encoder.encode([" end"], special=False)[0]


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_ragged_rows_together_give_what_each_gives_alone(tmp_path: Path) -> None:
    engine, dataset = LetterEngine(), loaded(tmp_path, "language_modeling", plain())
    ragged = 0
    for feeds, _ in dataset.evaluation(8):
        together = engine.logits(feeds)
        ragged += int(feeds["attention_mask"].min() == 0)
        for at, row in enumerate(rows_of(feeds)):
            alone = engine.logits({"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), int)})
            np.testing.assert_array_equal(together[at, : len(row)], alone[0])
    assert ragged


def test_a_model_without_an_attention_mask_gets_rows_of_one_length(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain(), inputs=TEXT_INPUTS[:1])
    for feeds, _ in dataset.evaluation(8):
        assert list(feeds) == ["input_ids"]
        assert PAD not in feeds["input_ids"]


def test_fixed_axes_are_padded_to_and_other_inputs_filled(tmp_path: Path) -> None:
    names = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    inputs = [TensorSpec(name=name, dtype="int32", shape=("batch", 12)) for name in names]
    dataset = loaded(tmp_path, "language_modeling", plain(), inputs=inputs)
    for feeds, targets in dataset.evaluation(8):
        assert isinstance(targets, TokenTargets)
        assert {(array.dtype.name, array.shape[1]) for array in feeds.values()} == {("int32", 12)}
        assert targets.tokens.shape == feeds["input_ids"].shape
        assert not feeds["token_type_ids"].any()
        assert (feeds["position_ids"] == np.arange(12)).all()
    assert dataset.first(2)["input_ids"].shape == (2, 12)


def test_batches_keep_the_outputs_small_and_rows_of_one_length_together(tmp_path: Path) -> None:
    wide = (TensorSpec(name="logits", dtype="float32", shape=("batch", "sequence", 128_000)),)
    dataset = loaded(tmp_path, "language_modeling", plain(), encoder=LetterEncoder(context_length=64), outputs=wide)
    batches = [feeds["input_ids"].shape for feeds, _ in dataset.evaluation(64)]
    sizes = [rows * tokens * 128_000 * 4 for rows, tokens in batches]
    assert max(sizes) <= OUTPUT_BYTES
    assert len({rows for rows, _ in batches}) > 2
    assert batches[0][1] == max(tokens for _, tokens in batches)
    assert dataset.affordable_batch(64) == OUTPUT_BYTES // (64 * 128_000 * 4)
    padded = sum(rows * tokens for rows, tokens in batches)
    held = sum(len(row) for feeds, _ in dataset.evaluation(64) for row in rows_of(feeds))
    assert padded < 1.15 * held


def test_rows_to_time_have_one_length_and_no_padding(tmp_path: Path) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain(), encoder=LetterEncoder(context_length=64))
    feeds = dataset.first(300)
    assert feeds["input_ids"].shape == (300, dataset.timed_tokens)
    assert feeds["attention_mask"].all()


# --- does it fit the model -------------------------------------------------------------------------------------------

SUMMARY = LetterEngine().summary
ENCODER = LanguageModel(architecture="BertModel", generative=False, tokenizer=True)
STATES = (TensorSpec(name="last_hidden_state", dtype="float32", shape=("batch", "sequence", 8)),)


def fitted(tmp_path: Path, task: str, model: ModelSummary = SUMMARY, **more: Any) -> None:
    spec = DatasetSpec(kind="text", task=task, **more)
    line: dict[str, Any] = {"text": "two words", "label": 2, "text_a": "x", "text_b": "y", "score": 1}
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join([json.dumps(line)] * 25), encoding="utf-8")
    check_against(model, open_source(path, spec).summary, spec)


def changed(**fields: Any) -> ModelSummary:
    return SUMMARY.model_copy(update=fields)


@pytest.mark.parametrize(
    ("task", "model", "more"),
    [
        ("language_modeling", SUMMARY, {}),
        ("multiple_choice", SUMMARY, {}),
        ("fidelity", SUMMARY, {}),
        ("classification", changed(outputs=CLASSES, language=ENCODER), {}),
        ("embedding", changed(outputs=STATES, language=ENCODER), {"pooling": "mean"}),
        ("embedding", changed(outputs=CLASSES, language=ENCODER), {}),
    ],
)
def test_texts_fit_a_model_with_a_tokenizer_that_suits_the_task(
    tmp_path: Path, task: str, model: ModelSummary, more: dict[str, Any]
) -> None:
    fitted(tmp_path, task, model, **more)


ONNX = changed(format="onnx", language=None)
PIXELS = TensorSpec(name="pixel_values", dtype="float32", shape=("batch", 3, 8, 8))


@pytest.mark.parametrize(
    ("task", "model", "more", "error", "said"),
    [
        ("fidelity", ONNX, {}, TokenizerMissing, r"this model \(onnx\) has none. Upload the model as a transformers"),
        ("fidelity", changed(language=LANGUAGE.model_copy(update={"tokenizer": False})), {}, TokenizerMissing, "none"),
        ("language_modeling", changed(language=ENCODER), {}, ModelUnfitForTexts, "BertModel does not predict the next"),
        ("multiple_choice", changed(language=ENCODER), {}, ModelUnfitForTexts, "task multiple_choice on texts"),
        ("classification", SUMMARY, {}, ModelUnfitForTexts, "upload a sequence classifier"),
        ("embedding", SUMMARY, {"pooling": "mean"}, ModelUnfitForTexts, "scores of the next token: choose an output"),
        ("embedding", changed(outputs=STATES, language=ENCODER), {}, ModelUnfitForTexts, "choose the pooling"),
        ("fidelity", changed(inputs=(*TEXT_INPUTS, PIXELS)), {}, TextInputUnknown, "pixel_values: float32"),
        (
            "classification",
            changed(outputs=CLASSES, language=ENCODER),
            {"classes": ("a", "b", "c")},
            ClassesMismatch,
            "3 classes",
        ),
    ],
)
def test_a_model_that_cannot_do_the_task_is_refused_with_a_way_out(
    tmp_path: Path, task: str, model: ModelSummary, more: dict[str, Any], error: type[UserError], said: str
) -> None:
    with pytest.raises(error, match=said):
        fitted(tmp_path, task, model, **more)


def test_texts_are_not_opened_without_a_tokenizer(tmp_path: Path) -> None:
    loaded(tmp_path, "language_modeling", plain())
    spec = DatasetSpec(kind="text", task="language_modeling")
    with pytest.raises(TokenizerMissing, match="the model at hand has none"):
        load_dataset(tmp_path / "texts.jsonl", spec, TEXT_INPUTS, seed=1)


class Joining(LetterEncoder):
    """Puts nothing around a text that it leaves as it is."""

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        return [[token + special for token in ids] for ids in super().encode(texts, special=False)]


def test_a_tokenizer_that_changes_a_text_with_special_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnfitForTexts, match="its tokenizer is not usable"):
        loaded(tmp_path, "language_modeling", plain(), encoder=Joining())


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_order_of_evaluation_names_the_example_of_each_row(tmp_path: Path, batch: int) -> None:
    dataset = loaded(tmp_path, "language_modeling", plain())
    given = [int(one) for _, targets in dataset.evaluation(batch) for one in targets.examples]  # type: ignore[union-attr]
    assert dataset.evaluation_order(batch).tolist() == given
