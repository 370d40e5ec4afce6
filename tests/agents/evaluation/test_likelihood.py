"""Perplexity and accuracy by log-likelihood, against sums done by hand and simulated documents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import load_dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.agent import EvaluationAgent
from apps.agents.evaluation.fidelity import FidelityMeter, OutputFidelity, visible
from apps.agents.evaluation.metrics.judged import judged
from apps.agents.evaluation.metrics.likelihood import ContinuationScorer, PerplexityScorer, mean_nll, predict
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.statistics.intervals import bootstrap
from tests.agents.encoders import BEGIN, LOGITS, LetterEncoder, LetterEngine
from tests.agents.told import Told

RANDOM = np.random.default_rng(4)
TEXTS = ["".join(RANDOM.choice(list("abcdefghij"), size)) for size in RANDOM.integers(5, 60, 120)]
QUICK = Effort(warmup_runs=1, warmup_s=0.001, block_s=0.001, rounds_minimum=4, rounds_maximum=6, budget_s=0.5)
HERE = Machine(hostname="here", cpu="", cores=1, memory_bytes=1, flags=(), system="", python="", libraries={})


def evaluated(
    tmp_path: Path,
    task: str,
    lines: list[dict[str, Any]],
    candidate: LetterEngine,
    told: Told | None = None,
    *,
    batch: int = 64,
    **spec: Any,
) -> EvaluationReport:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    original = LetterEngine()
    dataset = load_dataset(
        path,
        DatasetSpec(kind="text", task=task, **spec),
        original.summary.inputs,
        seed=1,
        encoder=original.encoder,
        outputs=original.summary.outputs,
    )
    criteria = Criteria(constraints=Constraints(max_metric_drop_points=1, max_metric_drop_relative=0.5))
    return EvaluationAgent(QUICK, batch=batch).evaluate(
        original, candidate, dataset, criteria, told or Told(), machine=HERE, seed=1
    )


def nll_of(engine: LetterEngine, ids: list[int]) -> list[float]:
    """Of each token but the first, one row at a time, in double precision."""
    logits = engine.logits({"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), int)})[0]
    scores = logits.astype(np.float64)
    return [float(np.log(np.exp(row).sum()) - row[token]) for row, token in zip(scores, ids[1:], strict=False)]


# --- language modeling -----------------------------------------------------------------------------------------------


def test_perplexity_is_that_of_all_tokens_whatever_the_batches(tmp_path: Path) -> None:
    candidate, told = LetterEngine(noise=0.05), Told()
    # What was exported brings no tokenizer: the texts are read as the original reads them.
    candidate.summary = candidate.summary.model_copy(update={"format": "onnx", "language": None})
    report = evaluated(tmp_path, "language_modeling", [{"text": text} for text in TEXTS], candidate, told)
    alone = evaluated(tmp_path, "language_modeling", [{"text": text} for text in TEXTS], candidate, batch=1)
    spec = DatasetSpec(kind="text", task="language_modeling")
    dataset = load_dataset(tmp_path / "texts.jsonl", spec, LetterEngine().summary.inputs, 1, encoder=LetterEncoder())
    for engine, side in ((LetterEngine(), "original"), (candidate, "candidate")):
        nll = []
        for index in dataset.evaluation_indices:
            (ids,) = LetterEncoder().encode([TEXTS[index]], special=False)
            nll += [n for at in range(0, len(ids), 15) for n in nll_of(engine, [BEGIN, *ids[at : at + 15]])]
        perplexity = math.exp(sum(nll) / len(nll))
        for found in (report, alone):
            assert getattr(found.primary, side).value == pytest.approx(perplexity, abs=1e-4)
            assert getattr(found.metrics[1], side).value == pytest.approx(math.log(perplexity), abs=1e-5)
    assert [metric.metric for metric in report.metrics] == ["perplexity", "nll"]
    assert report.primary.drop.value == pytest.approx(report.primary.candidate.value - report.primary.original.value)
    assert report.primary.drop.low is not None
    assert report.constraints[0].sentence.startswith("Perplexity ")
    assert " from " in report.constraints[0].sentence
    assert report.notes[0].startswith("Rows have at most 16 tokens")
    # In one batch or row by row, the closeness of the outputs is the same: padding is in none of it.
    assert report.fidelity.sqnr_db == pytest.approx(alone.fidelity.sqnr_db, abs=1e-6)
    assert report.fidelity.cosine == pytest.approx(alone.fidelity.cosine, abs=1e-9)
    assert told.fractions == sorted(told.fractions)
    assert None not in told.etas_s


def test_the_same_language_model_twice_loses_nothing(tmp_path: Path) -> None:
    report = evaluated(tmp_path, "language_modeling", [{"text": text} for text in TEXTS], LetterEngine())
    drop = report.primary.drop
    assert (drop.low, drop.value, drop.high) == (0.0, 0.0, 0.0)
    assert report.verdict is Holds.HOLDS


def test_the_interval_over_documents_covers() -> None:
    """Simulated documents of very different length, whose tokens are alike within a document and differ between."""
    random, inside, sessions = np.random.default_rng(8), 0, 150
    truth = 3.0
    for seed in range(sessions):
        tokens = random.integers(5, 200, 60).astype(float)
        original = tokens * (truth + 0.4 * random.standard_normal(60))
        candidate = original + tokens * (0.02 + 0.05 * random.standard_normal(60))
        mean = mean_nll(original, candidate, tokens)

        def drop(indices: np.ndarray, mean: Any = mean) -> np.ndarray:
            before, after = np.exp(mean(indices))
            return (after - before)[np.newaxis]

        (estimate,), _ = bootstrap(drop, 60, 0.9, seed)
        assert estimate.low is not None
        assert estimate.high is not None
        inside += estimate.low <= math.exp(truth) * (math.exp(0.02) - 1) <= estimate.high
    assert 0.82 <= inside / sessions <= 0.97


def targets(tokens: list[list[int]], examples: list[int], **more: list[Any]) -> TokenTargets:
    rows = len(tokens)
    return TokenTargets(
        tokens=np.array(tokens),
        examples=np.array(examples),
        choices=np.array(more.get("choices", [0] * rows)),
        characters=np.array(more.get("characters", [0] * rows)),
        right=np.array(more.get("right", [True] * rows)),
    )


def test_a_model_without_hope_has_a_perplexity_that_is_still_a_number() -> None:
    logits = np.zeros((4, 2, 3), np.float32)
    logits[:, :, 0] = 5000
    scorer = PerplexityScorer()
    scorer.add(np.zeros_like(logits), logits, targets([[1, 2]] * 4, [0, 1, 2, 3]))
    metric = scorer.comparisons(0.95, 1)[0]
    assert metric.original.value == pytest.approx(3)
    assert math.isfinite(metric.candidate.value)
    assert math.isfinite(metric.drop.high or math.inf)


@pytest.mark.parametrize(
    ("shape", "token", "said"),
    [((2, 5), 0, "one score for each token of the vocabulary"), ((2, 3, 4), 4, "token 4, but the model scores only 4")],
)
def test_outputs_that_predict_no_tokens_are_refused(shape: tuple[int, ...], token: int, said: str) -> None:
    with pytest.raises(OutputUnfit, match=said):
        predict(np.zeros(shape, np.float32), np.full((2, 3), token), Task.LANGUAGE_MODELING)


# --- continuations ---------------------------------------------------------------------------------------------------


def rows_for(nll: list[float]) -> np.ndarray:
    """Logits of one position by which token 1 has each of these log-likelihoods."""
    likelihood = np.exp(-np.array(nll))
    return np.log(np.stack([1 - likelihood, likelihood], 1))[:, np.newaxis].astype(np.float32)


def test_the_likeliest_choice_counts_in_whatever_batches_its_rows_come() -> None:
    # Example 0: the original takes choice 1 (right), the candidate choice 0. Example 1: both take choice 0 (right);
    # per character it would be choice 1. Rows of an example stand in different batches and out of order.
    scorer = ContinuationScorer()
    first = targets([[1], [1]], [1, 0], choices=[1, 1], characters=[10, 2], right=[False, True])
    second = targets([[1], [1]], [0, 1], choices=[0, 0], characters=[2, 2], right=[False, True])
    scorer.add(rows_for([3.0, 1.0]), rows_for([3.0, 2.0]), first)
    scorer.add(rows_for([2.0, 1.0]), rows_for([1.0, 1.0]), second)
    plain, per_character = scorer.comparisons(0.95, 1)
    assert (plain.metric, plain.original.value, plain.candidate.value) == ("accuracy", 100.0, 50.0)
    assert plain.test == "mcnemar"
    assert (per_character.original.value, per_character.candidate.value) == (50.0, 0.0)
    flips = scorer.flips()
    assert (flips.both_right, flips.lost, flips.won, flips.both_wrong, flips.changed) == (1, 1, 0, 0, 1)


def test_a_last_word_is_right_when_every_token_of_it_is_the_likeliest() -> None:
    scores = np.zeros((3, 3, 4), np.float32)
    scores[0, 1, 2] = scores[0, 2, 3] = 1  # The whole word.
    scores[1, 1, 2] = scores[1, 2, 0] = 1  # Its first token only.
    scores[2, 1, 2] = scores[2, 2, 3] = 1
    changed = scores.copy()
    changed[2, 2, 1] = 2
    scorer = ContinuationScorer()
    scorer.add(scores, changed, targets([[IGNORED, 2, 3]] * 3, [0, 1, 2]))
    (metric,) = scorer.comparisons(0.95, 1)
    assert metric.metric == "last_word"
    assert (metric.original.value, metric.candidate.value) == (pytest.approx(200 / 3), pytest.approx(100 / 3))
    flips = scorer.flips()
    assert (flips.both_right, flips.both_wrong, flips.lost, flips.changed) == (1, 1, 1, 1)


def test_choices_and_last_words_are_judged_end_to_end(tmp_path: Path) -> None:
    engine, encoder = LetterEngine(), LetterEncoder()
    lines = [{"context": text, "choices": ["ab", "cd", "efg"], "answer": n % 3} for n, text in enumerate(TEXTS)]
    report = evaluated(tmp_path, "multiple_choice", lines, LetterEngine(noise=0.5))
    right = 0
    spec = DatasetSpec(kind="text", task="multiple_choice")
    dataset = load_dataset(tmp_path / "texts.jsonl", spec, engine.summary.inputs, 1, encoder=encoder)
    for index in dataset.evaluation_indices:
        sums = []
        for choice in lines[index]["choices"]:
            (whole,) = encoder.encode([f"{lines[index]['context']} {choice}"], special=False)
            sums.append(sum(nll_of(engine, [BEGIN, *whole[-15:]])[-len(choice) - 1 :]))
        right += int(np.argmin(sums)) == lines[index]["answer"]
    assert report.primary.original.value == pytest.approx(100 * right / len(dataset.evaluation_indices))
    assert report.flips is not None
    assert report.flips.changed > 0
    words = evaluated(tmp_path, "multiple_choice", [{"text": f"{text} a"} for text in TEXTS], LetterEngine())
    assert words.primary.metric == "last_word"
    assert words.primary.label == "last word accuracy"


# --- fidelity --------------------------------------------------------------------------------------------------------


def test_fidelity_on_texts_reads_no_padding(tmp_path: Path) -> None:
    lines = [{"text": text} for text in TEXTS]
    together, alone = (
        evaluated(tmp_path, "fidelity", lines, LetterEngine(noise=0.3), batch=batch) for batch in (64, 1)
    )
    assert together.primary.metric == "r2"
    assert together.primary.candidate.value < 99.9
    assert together.primary.candidate.value == pytest.approx(alone.primary.candidate.value, abs=1e-5)
    assert together.fidelity.sqnr_db == pytest.approx(alone.fidelity.sqnr_db, abs=1e-6)


def test_only_outputs_with_an_axis_of_tokens_lose_their_padding() -> None:
    feeds = {"attention_mask": np.array([[1, 1, 0], [1, 0, 0]])}
    starts = TensorSpec(name="starts", dtype="float32", shape=("batch", "sequence"))
    classes = TensorSpec(name="classes", dtype="float32", shape=("batch", 3))
    arrays = [RANDOM.random((2, 3, 40)), RANDOM.random((2, 3)), RANDOM.random((2, 3))]
    tokens, positions, scores = visible(arrays, (*LOGITS, starts, classes), feeds)
    assert tokens.shape == (3, 40)
    np.testing.assert_array_equal(positions, arrays[1][feeds["attention_mask"] > 0])
    assert scores is arrays[2]


def test_masked_embeddings_of_fidelity_are_zero_on_padding() -> None:
    spec = DatasetSpec(kind="text", task="fidelity")
    output = RANDOM.random((1, 2, 3)).astype(np.float32)
    assert not judged(output, spec, np.array([[1, 0]]))[0, 1].any()


def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for size in (7, 300_000):
        original = RANDOM.standard_normal((5, size)).astype(np.float32)
        yield original, original + RANDOM.standard_normal((5, size)).astype(np.float32) * 0.1


def test_closeness_is_the_same_in_blocks_as_at_once() -> None:
    for original, candidate in blocks():
        meter = OutputFidelity("x")
        meter.add(original, candidate)
        a, b = original.astype(np.float64), candidate.astype(np.float64)
        assert meter.sqnr_db == pytest.approx(10 * math.log10((a * a).sum() / ((a - b) ** 2).sum()))
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert meter.cosines / meter.rows == pytest.approx(cosines.mean())
        assert meter.max_abs_error == np.abs(a - b).max()
        assert meter.absolute / meter.elements == pytest.approx(np.abs(a - b).mean())


def test_huge_finite_outputs_have_a_closeness() -> None:
    """Masked scores are often the most negative number of float32, whose square float32 cannot hold."""
    output = np.full((2, 4), np.finfo(np.float32).min)
    meter = FidelityMeter(["scores"])
    meter.add([output], [output])
    assert meter.report(None).cosine == 1.0
