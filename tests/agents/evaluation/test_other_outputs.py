"""Outputs that are not judged: how far they are from the original's, and the limit on the worst of them."""

from __future__ import annotations

import numpy as np
import pytest

from apps.agents.contracts.criteria import USUAL_OUTPUT_DEVIATION, Constraints, Criteria
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.metrics import OutputComparison
from apps.agents.contracts.reports.model import TensorSpec
from apps.agents.evaluation.other_outputs import OtherOutputs
from apps.agents.evaluation.quality import Question
from apps.agents.evaluation.rederiving import rederived
from apps.agents.evaluation.selection import Standing, judge
from tests.optimization import material

EXAMPLES = 200
NAMES = ("judged", "age", "name")
AGE = np.random.default_rng(3).normal(40, 5, size=(EXAMPLES, 1)).astype(np.float32)
SCORES = np.random.default_rng(4).normal(size=(EXAMPLES, 3)).astype(np.float32)
WORDS = np.array(["a", "b"] * (EXAMPLES // 2))


def compared(age: np.ndarray, words: np.ndarray = WORDS, confidence: float = 0.95) -> dict[str, OutputComparison]:
    meter = OtherOutputs([TensorSpec(name=name, dtype="float32", shape=("N",)) for name in NAMES], 0)
    for part in (slice(None, 70), slice(70, None)):
        meter.add([SCORES[part], AGE[part], WORDS[part]], [SCORES[part] * 0, age[part], words[part]], None)
    return {one.output: one for one in meter.compared(confidence, seed=1)}


def noisy(deviation: float) -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=AGE.shape).astype(np.float32)
    return AGE + noise * np.float32(deviation * AGE.std() / np.sqrt(np.mean(noise**2)))


def test_a_deviation_is_measured_in_how_much_the_output_varies_not_in_how_large_it_is() -> None:
    found = compared(noisy(0.38))["age"]
    assert found.deviation.value == pytest.approx(0.38, abs=0.01)
    assert found.r2 == pytest.approx(100 * (1 - 0.38**2), abs=1)
    low, high = found.deviation.low, found.deviation.high
    assert low is not None
    assert high is not None
    assert 0.3 < low < 0.38 < high < 0.46
    constant = compared(np.full_like(AGE, AGE.mean()))["age"]
    assert constant.deviation.value == pytest.approx(1), "the original's mean explains nothing"


def test_the_judged_output_is_not_among_them_and_words_are_equal_or_not() -> None:
    changed = WORDS.copy()
    changed[:20] = "c"
    found = compared(AGE, changed)
    assert list(found) == ["name", "age"], "the largest deviation first"
    assert found["name"].exact
    assert found["name"].deviation.value == pytest.approx(0.1**0.5)
    assert found["age"].deviation.value == found["age"].deviation.high == 0
    assert found["age"].agreement is None, "a single number has no largest entry"


def test_the_intervals_hold_for_all_outputs_at_once() -> None:
    alone = OtherOutputs([TensorSpec(name=name, dtype="float32", shape=("N",)) for name in NAMES[:2]], 0)
    alone.add([SCORES, AGE], [SCORES, noisy(0.38)], None)
    narrow, wide = alone.compared(0.95, seed=1)[0].deviation, compared(noisy(0.38))["age"].deviation
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high > narrow.high


def test_an_output_without_an_entry_per_example_is_named_and_left_out() -> None:
    meter = OtherOutputs([TensorSpec(name=name, dtype="float32", shape=("N",)) for name in NAMES], 0)
    meter.add([SCORES, AGE, None], [SCORES, AGE, None], None)
    assert [one.output for one in meter.compared(0.95, seed=1)] == ["age"]
    assert "does not apply to name" in meter.not_compared()[0]


def test_padding_counts_as_equal() -> None:
    mask = np.ones((EXAMPLES, 4), np.int64)
    mask[:, 2:] = 0
    states = np.random.default_rng(6).normal(size=(EXAMPLES, 4, 8)).astype(np.float32)
    changed = states.copy()
    changed[:, 2:] = 9
    meter = OtherOutputs([TensorSpec(name=name, dtype="float32", shape=("N",)) for name in NAMES[:2]], 0)
    meter.add([SCORES, states], [SCORES, changed], mask)
    assert meter.compared(0.95, seed=1)[0].deviation.value == 0


def report(age: np.ndarray, words: np.ndarray = WORDS, **limits: float | None):  # type: ignore[no-untyped-def]
    measured = material.evaluation(drop=0.0, speedup=3.0).model_copy(
        update={"other_outputs": tuple(compared(age, words).values())}
    )
    return rederived(measured, Criteria(constraints=Constraints(**limits)))


def test_the_usual_limit_rejects_a_head_that_is_off_by_038_and_names_it() -> None:
    found = report(noisy(0.38))
    verdict = next(one for one in found.constraints if one.constraint == "max_output_deviation")
    assert (verdict.status, verdict.subject, verdict.limit) == (Holds.VIOLATED, "age", USUAL_OUTPUT_DEVIATION)
    assert verdict.sentence.startswith("Of 2 other outputs, 'age' does worst: it deviates from the original's by 0.38")
    judgement = judge(found, Criteria())
    assert judgement.standing is Standing.REJECTED
    assert "'age'" in judgement.reason


@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.12])
def test_what_int8_changes_in_a_healthy_output_holds(deviation: float) -> None:
    found = report(noisy(deviation))
    assert [one.status for one in found.constraints if one.constraint == "max_output_deviation"] == [Holds.HOLDS]


def test_a_deviation_near_the_limit_is_undecided_and_says_what_would_decide() -> None:
    found = report(noisy(0.25))
    verdict = next(one for one in found.constraints if one.constraint == "max_output_deviation")
    assert verdict.status is Holds.INCONCLUSIVE
    assert "more examples would decide" in (verdict.to_decide or "")


def test_without_the_limit_or_without_other_outputs_there_is_no_verdict() -> None:
    assert "max_output_deviation" not in {
        one.constraint for one in report(noisy(1), max_output_deviation=None).constraints
    }
    single = rederived(material.evaluation(), Criteria())
    assert "max_output_deviation" not in {one.constraint for one in single.constraints}


def test_with_other_outputs_to_judge_every_example_is_used() -> None:
    limited, free = Criteria(), Criteria(constraints=Constraints(max_output_deviation=None))
    assert Question(limited).ends_early
    assert not Question(limited, several_outputs=True).ends_early
    assert Question(free, several_outputs=True).ends_early
    assert not Question(Criteria(constraints=Constraints(metric_limits={"macro_f1": 1.0}))).ends_early


@pytest.mark.parametrize(("changed", "status"), [(0, Holds.HOLDS), (2, Holds.HOLDS), (40, Holds.VIOLATED)])
def test_values_that_are_equal_or_not_have_the_same_limit(changed: int, status: Holds) -> None:
    words = WORDS.copy()
    words[:changed] = "c"
    verdict = next(one for one in report(AGE, words).constraints if one.constraint == "max_output_deviation")
    assert verdict.status is status
    assert verdict.subject == "name"
    if changed:
        assert (
            f"'name' does worst: it differs from the original's in {changed / 2:g} % of its values" in verdict.sentence
        )
