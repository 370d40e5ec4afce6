"""Gains that the bits do not allow are flagged; honest ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec
from apps.agents.contracts.reports.runtimes import RuntimeBaseline
from apps.agents.evaluation.plausibility import implausible_gains, smallest_bits, suspicions, weight_bytes

MILLION = 1_000_000


def model(size_bytes: int, operators: dict[str, int] | None = None, **dtypes: int) -> ModelSummary:
    return ModelSummary(
        format="onnx",
        producer="",
        opset=21,
        inputs=(),
        outputs=(),
        parameters=sum(dtypes.values()),
        size_bytes=size_bytes,
        operators=operators or {"Conv": 3},
        weight_dtypes=dtypes,
    )


def metric(drop: float, low: float, high: float, **more: Any) -> MetricComparison:
    fields = {"metric": "top1", "label": "top-1 accuracy", "unit": "%", "higher_is_better": True}
    return MetricComparison(
        original=Estimate(value=90.0),
        candidate=Estimate(value=90.0 - drop),
        drop=Estimate(value=drop, low=low, high=high),
        test="mcnemar",
        p_value=0.5,
        **fields | more,
    )


FLOAT = model(4_050_000, float32=MILLION, int64=20)
INT8 = model(1_060_000, int8=MILLION, float32=1000)
SAME = metric(0.1, -0.2, 0.4)
QUICK = Estimate(value=4.2, low=4.0, high=4.4)


def flagged(
    candidate: ModelSummary, speedup: Estimate = QUICK, primary: MetricComparison = SAME, *, keeps: bool = True
) -> tuple[str, ...]:
    return implausible_gains(FLOAT, candidate, speedup, primary, keeps_parameters=keeps)


@pytest.mark.parametrize(
    "candidate",
    [
        INT8,
        model(560_000, uint4=MILLION),
        model(560_000, {"MatMulNBits": 4}, uint8=MILLION // 2, float32=1000),
        model(2_050_000, float16=MILLION),
        FLOAT,
    ],
)
def test_honest_candidates_pass(candidate: ModelSummary) -> None:
    speedup = QUICK if candidate.size_bytes < FLOAT.size_bytes else Estimate(value=1.3, low=1.2, high=1.4)
    assert flagged(candidate, speedup) == ()


def test_a_file_with_missing_weights_is_flagged() -> None:
    (sentence,) = flagged(model(130_000, int8=120_000))
    assert "1,000,000 weights would take 1 MB at 8 bits" in sentence


@pytest.mark.parametrize("kind", [one.value for one in Format])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_ratio_beyond_what_the_weights_lost_is_flagged_in_every_format(kind: str, keeps: bool) -> None:
    original = model(18_500_000, float32=5800).model_copy(update={"format": kind})
    candidate = model(14_600, int8=5800).model_copy(update={"format": kind})
    (sentence,) = implausible_gains(original, candidate, QUICK, SAME, keeps_parameters=keeps)
    assert "1,267 times smaller, but 4 times fewer bytes of weights explain at most 16 times" in sentence


def test_a_graph_may_lose_more_than_the_weights_of_a_small_model() -> None:
    small = model(600_000, float32=5800)
    assert implausible_gains(small, model(30_000, int8=5800), QUICK, SAME, keeps_parameters=True) == ()


def test_a_pruned_model_may_be_smaller_than_the_originals_bits() -> None:
    assert flagged(model(130_000, int8=120_000), keeps=False) == ()


def test_a_file_smaller_than_what_it_claims_to_hold_is_flagged() -> None:
    (sentence,) = flagged(model(200_000, int8=MILLION), keeps=False)
    assert "200 kB" in sentence
    assert "1 MB" in sentence


def test_a_speed_up_beyond_reason_is_flagged_only_beyond_doubt() -> None:
    assert flagged(INT8, Estimate(value=40.0, low=35.0, high=45.0))[0].startswith("The candidate is 40 times as fast")
    assert flagged(INT8, Estimate(value=14.0, low=9.0, high=20.0)) == ()
    assert flagged(FLOAT, Estimate(value=5.0, low=4.0, high=6.0)) != ()


def test_a_large_gain_in_accuracy_is_flagged_beyond_chance() -> None:
    assert flagged(INT8, primary=metric(-8.0, -9.0, -5.0)) != ()
    assert flagged(INT8, primary=metric(-8.0, -14.0, -1.0)) == ()
    assert flagged(INT8, primary=metric(-0.5, -0.7, -0.2)) == ()
    error = metric(-20.0, -24.0, -16.0, unit="", higher_is_better=False)
    assert flagged(INT8, primary=error) != ()


def test_equal_outputs_of_other_weights_are_a_note() -> None:
    assert suspicions(FLOAT, INT8, identical_outputs=True) != ()
    assert suspicions(FLOAT, FLOAT, identical_outputs=True) == ()
    assert suspicions(FLOAT, INT8, identical_outputs=False) == ()


def test_bits_are_read_from_types_and_packing_operators() -> None:
    assert weight_bytes(FLOAT) == 4_000_160
    assert smallest_bits(INT8) == 8
    assert smallest_bits(model(1, {"MatMulNBits": 1}, uint8=MILLION)) == 4
    assert smallest_bits(model(1, int8=1, float32=MILLION)) == 32
    assert smallest_bits(model(1)) is None


LANGUAGE = LanguageModel(
    architecture="LlamaForCausalLM", generative=True, vocabulary=100, tied_embeddings=True, embedding_parameters=200_000
)


def test_weights_packed_into_words_are_counted_as_the_numbers_they_hold() -> None:
    packed = FLOAT.model_copy(update={"size_bytes": 620_000, "weight_dtypes": {"uint4": MILLION, "float16": 32_000}})
    assert smallest_bits(packed) == 4
    assert weight_bytes(packed) == 564_000
    assert flagged(packed) == ()
    missing = packed.model_copy(update={"size_bytes": 300_000})
    assert any("weights that it declares" in sentence for sentence in flagged(missing))


def test_a_head_that_stands_twice_in_the_original_may_stand_once_in_the_candidate() -> None:
    table = TensorSpec(name="t", dtype="float32", shape=(100, 2000))
    twice = model(4_800_000, float32=1_200_000).model_copy(
        update={"language": LANGUAGE, "weights": (table, table.model_copy(update={"name": "head"}))}
    )
    half = model(2_010_000, float16=MILLION)
    assert implausible_gains(twice, half, QUICK, SAME, keeps_parameters=True) == ()
    unknown = twice.model_copy(update={"language": None})
    assert implausible_gains(unknown, half, QUICK, SAME, keeps_parameters=True) != ()


def test_another_runtime_may_be_many_times_as_fast() -> None:
    eager, quick = FLOAT.model_copy(update={"format": "transformers"}), Estimate(value=9.0, low=8.0, high=10.0)
    assert implausible_gains(eager, FLOAT, quick, SAME, keeps_parameters=True) == ()
    assert implausible_gains(FLOAT, FLOAT, quick, SAME, keeps_parameters=True) != ()


def test_a_perplexity_that_is_much_better_is_suspicious() -> None:
    better = metric(-9.5, -9.8, -9.2, metric="perplexity", label="perplexity", unit="", higher_is_better=False)
    assert flagged(INT8, primary=better) == (
        "perplexity is better by 9.5, more than chance explains: the candidate has probably seen the test examples.",
    )


# --- another runtime --------------------------------------------------------------------------------------------------

KERAS = FLOAT.model_copy(update={"format": "keras"})
LITERT = RuntimeBaseline(runtime="LiteRT", speedup=197.0, size_ratio=1.0, in_turns=True)


def moved(candidate: ModelSummary, speedup: float, baseline: RuntimeBaseline | None, sqnr_db: float = 30.0) -> str:
    measured = Estimate(value=speedup, low=0.98 * speedup, high=1.02 * speedup)
    found = implausible_gains(
        KERAS,
        candidate.model_copy(update={"format": "tflite"}),
        measured,
        SAME,
        keeps_parameters=True,
        baseline=baseline,
        sqnr_db=sqnr_db,
    )
    return " ".join(found)


@pytest.mark.parametrize("speedup", [153.0, 203.0, 197.0 * 4])
def test_what_the_runtime_wins_needs_no_bits(speedup: float) -> None:
    assert moved(INT8, speedup, LITERT) == ""


def test_what_the_technique_wins_beyond_the_float_model_is_held_against_its_bits() -> None:
    said = moved(INT8, 197.0 * 20, LITERT)
    assert "20 times as fast as the float model in LiteRT" in said
    assert "part of the work is probably not done" in said
    assert "part of the work" in moved(INT8, 203.0, LITERT.model_copy(update={"speedup": 1.1}))


def test_a_float_model_that_was_measured_alone_leaves_more_room() -> None:
    alone = LITERT.model_copy(update={"in_turns": False})
    assert moved(INT8, 197.0 * 16, LITERT)
    assert not moved(INT8, 197.0 * 16, alone)


def test_equal_outputs_show_that_no_work_was_left_out() -> None:
    assert "part of the work" in moved(FLOAT, 197.0, None)
    assert moved(FLOAT, 197.0, None, sqnr_db=120.0) == ""


# --- sizes that are not the weights' ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("made", ["torch-export", "onnx"])
def test_bytes_that_are_no_weights_make_no_gain(made: str, keeps: bool) -> None:
    padded = model(18_500_000, float32=5_900).model_copy(update={"format": "torch-export"})
    small = model(14_600, float16=5_900).model_copy(update={"format": made})
    (said,) = implausible_gains(padded, small, Estimate(value=1.0), SAME, keeps_parameters=keeps)
    assert said.startswith("The file is 1,267 times smaller, but 2 times fewer bytes of weights explain at most")
    assert "only 23.6 kB of the original's 18.5 MB are weights" in said


@pytest.mark.parametrize(
    ("original", "candidate"),
    [
        # An optimizer's state beside the weights, in a Keras file; a program that is larger than a tiny network.
        (model(11_900_000, float32=970_000), model(1_013_648, int8=970_000)),
        (model(400_000, float32=16_900), model(27_000, int8=16_900)),
        (FLOAT, INT8),
    ],
)
def test_what_files_honestly_hold_beside_weights_passes(original: ModelSummary, candidate: ModelSummary) -> None:
    other = candidate.model_copy(update={"format": "tflite"})
    assert implausible_gains(original, other, Estimate(value=1.0), SAME, keeps_parameters=True) == ()
