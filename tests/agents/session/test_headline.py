"""A verdict in one sentence: what got better, beside it what got worse, and no celebration of anything else."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, Constraints, CountedSize, Criteria, Objective
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, Pair
from apps.agents.contracts.reports.metrics import Finding, FindingKind, OutputComparison
from apps.agents.contracts.state import Outcome, Tone, Verdict
from apps.agents.evaluation import verdicts
from apps.agents.evaluation.selection import judge, verdict_of
from apps.agents.session.headline import (
    CELEBRATION,
    NOTHING_BETTER,
    headline,
    headline_of,
    times,
)
from tests.agents.inmemory import Truth, evaluation, resnet

FASTEST = PROFILES["fastest"]
SIZE = Criteria(objective=Objective.SIZE, constraints=Constraints())
UNLIMITED = Criteria(constraints=Constraints(max_metric_drop_points=None))
MEMORY = Criteria(objective=Objective.MEMORY, constraints=Constraints())


def measured(
    speedup: float, size: float, drop: float = 0.0, margin: float = 0.2, criteria: Criteria = FASTEST
) -> EvaluationReport:
    return evaluation(resnet(), Truth(speedup, size, drop, margin), criteria)


def told(report: EvaluationReport, criteria: Criteria = FASTEST) -> tuple[str, str]:
    """Tone and sentence as a session with this one candidate ends."""
    judgement = judge(report, criteria)
    verdict = verdict_of({"c01": judgement}, {"c01": "Static int8"}, criteria, chosen="c01")
    assert judgement.accepted, verdict.reason
    found = headline_of(verdict, report, criteria)
    return found.tone, found.sentence


def test_proven_and_nothing_worse_is_celebrated() -> None:
    assert told(measured(4.2, 3.9)) == (
        Tone.GOOD,
        f"{CELEBRATION}: 4.2× faster and 3.9× smaller; top-1 unchanged",
    )


def test_a_change_that_few_examples_cannot_tell_from_none_is_not_called_unchanged() -> None:
    report = measured(4.2, 3.9, 6.35, 7.75, UNLIMITED).model_copy(update={"examples": 47})

    tone, sentence = told(report, UNLIMITED)

    assert tone is Tone.OPEN
    assert sentence.endswith(
        "top-1 −6.35 points, which 47 examples cannot tell from no change (95 % interval −14.1 to 1.4)"
    )
    assert CELEBRATION not in sentence
    assert "47 examples cannot tell" in judge(report, UNLIMITED).reason


def test_a_broken_output_that_nothing_limits_is_named() -> None:
    broken = OutputComparison(
        output="age", exact=False, examples=500, deviation=Estimate(value=0.38, low=0.3, high=0.5)
    )
    report = measured(4.2, 3.9).model_copy(update={"other_outputs": (broken,)})
    tone, sentence = told(report)
    assert tone is Tone.MIXED
    assert sentence.endswith("but the output age, which nothing limits, is far from the original's")
    healthy = broken.model_copy(update={"deviation": Estimate(value=0.38, low=0.2, high=0.5)})
    assert told(report.model_copy(update={"other_outputs": (healthy,)}))[0] is Tone.GOOD


def test_a_large_limit_does_not_make_a_large_possible_change_unchanged() -> None:
    criteria = Criteria(constraints=Constraints(max_metric_drop_points=20.0))
    report = measured(4.2, 3.9, 6.35, 7.75, criteria)

    (verdict,) = (one for one in report.constraints if one.constraint == "max_metric_drop_points")
    assert verdict.status is Holds.HOLDS
    assert verdict.sentence.startswith("Top-1 measured 6.35 points lower (95 % interval −14.1 to 1.4), within")


def test_what_may_be_chance_and_holds_its_limit_is_proven_and_not_celebrated() -> None:
    """Between −0.85 and 1.25 points of accuracy won: no more than one is lost, and nobody knows whether any is won."""
    tone, sentence = told(measured(4.0, 3.9, -0.2, 1.05))
    assert tone is Tone.GOOD
    assert CELEBRATION not in sentence
    assert "cannot tell from no change" in sentence


def test_no_measured_change_is_unchanged_however_wide_the_interval() -> None:
    assert told(measured(4.2, 3.9, 0.0, 7.75, UNLIMITED), UNLIMITED)[1].endswith("; top-1 unchanged")


@pytest.mark.parametrize(("drop", "shown"), [(-0.06, "+0.06 points"), (0.1, "−0.1 points")])
def test_what_chance_explains_is_unchanged(drop: float, shown: str) -> None:
    tone, sentence = told(measured(4.2, 3.9, drop))
    assert tone is Tone.GOOD
    assert sentence.endswith(f"; top-1 unchanged ({shown})")


def test_a_loss_that_the_criteria_allow_is_told_and_not_celebrated() -> None:
    assert told(measured(4.2, 3.9, 0.5)) == (
        Tone.GOOD,
        "4.2× faster and 3.9× smaller; top-1 fell 0.5 points, within the limit of 1 point",
    )


def test_a_real_gain_of_the_metric_is_told() -> None:
    assert told(measured(4.2, 3.9, -0.5))[1].endswith("; top-1 rose 0.5 points")


def test_a_smaller_download_is_told_as_one() -> None:
    report = evaluation(resnet(), Truth(1.0, 1.0, 0.0), UNLIMITED).model_copy(
        update={
            "compressed_bytes": Pair(original=10_000_000, candidate=5_000_000, ratio=2.0),
            "counted_size": CountedSize.COMPRESSED,
        }
    )
    assert "2.0× smaller when compressed" in told(report, UNLIMITED)[1]


def test_smaller_and_slower_is_no_celebration() -> None:
    assert told(measured(0.27, 4.0, criteria=SIZE), SIZE) == (
        Tone.MIXED,
        "4.0× smaller, and 3.7× slower; top-1 unchanged",
    )


def test_faster_and_larger_is_none_either() -> None:
    assert told(measured(2.1, 0.8)) == (Tone.MIXED, "2.1× faster, and 1.2× larger; top-1 unchanged")


def test_a_loss_that_nothing_limits_is_mixed() -> None:
    report = measured(4.2, 3.9, 0.5, criteria=UNLIMITED)
    assert told(report, UNLIMITED) == (Tone.MIXED, "4.2× faster and 3.9× smaller; top-1 fell 0.5 points")


def test_what_is_not_proven_says_so() -> None:
    assert told(measured(4.2, 3.9, 0.3, 1.5)) == (
        Tone.OPEN,
        "4.2× faster and 3.9× smaller; top-1 fell 0.3 points, within the limit of 1 point, not proven",
    )
    assert told(measured(4.2, 3.9, 0.0, 1.5))[1].endswith(
        "top-1 unchanged, not proven to stay within the limit of 1 point"
    )


def test_a_required_speed_that_is_not_proven_says_so() -> None:
    criteria = Criteria(constraints=Constraints(min_speedup=2.0))
    tone, sentence = told(measured(2.01, 3.9, criteria=criteria), criteria)
    assert tone is Tone.OPEN
    assert sentence.startswith("2.0× faster (not proven to reach the required 2×) and 3.9× smaller;")


def test_a_required_latency_that_is_not_proven_says_so() -> None:
    criteria = Criteria(constraints=Constraints(max_latency_ms=3.0))
    report = measured(4.2, 3.9, criteria=criteria)
    near = verdicts.latency_verdict(
        verdicts.Measurements(
            primary=report.primary,
            examples=report.examples,
            latency=report.latency,
            candidate_latency_ms=Estimate(value=2.9, low=2.7, high=3.1),
            size_bytes=report.size_bytes,
            peak_memory_bytes=report.peak_memory_bytes,
            confidence=0.95,
        ),
        3.0,
    )
    report = report.model_copy(update={"constraints": (near,)})
    assert told(report, criteria)[1].startswith("4.2× faster (not proven to stay within 3 ms) and")


@pytest.mark.parametrize(("speedup", "control"), [(1.01, (0.99, 1.01)), (1.05, (0.94, 1.06)), (0.97, (0.94, 1.06))])
def test_speed_within_the_noise_is_as_fast_as_before(speedup: float, control: tuple[float, float]) -> None:
    report = measured(speedup, 3.9, criteria=SIZE)
    low, high = control
    latency = report.latency.model_copy(update={"control": Estimate(value=1.0, low=low, high=high)})
    report = report.model_copy(update={"latency": latency})
    assert told(report, SIZE) == (Tone.GOOD, f"{CELEBRATION}: 3.9× smaller, as fast as before; top-1 unchanged")


def test_a_speed_that_is_not_known_is_no_reason_to_celebrate() -> None:
    report = measured(4.0, 3.9, criteria=SIZE)
    speedup = Estimate(value=4.0, low=-UNKNOWN, high=UNKNOWN)
    report = report.model_copy(update={"latency": report.latency.model_copy(update={"speedup": speedup})})
    assert told(report, SIZE) == (
        Tone.OPEN,
        "3.9× smaller, speed not known, because the machine was too busy; top-1 unchanged",
    )


def test_a_file_of_the_same_size_is_said_to_be() -> None:
    assert "2.0× faster, as large as before;" in told(measured(2.0, 1.005))[1]


# --- memory ----------------------------------------------------------------------------------------------------------


def with_memory(original: float, candidate: float, criteria: Criteria) -> EvaluationReport:
    pair = Pair(original=original, candidate=candidate, ratio=original / candidate)
    return measured(4.2, 3.9, criteria=criteria).model_copy(update={"peak_memory_bytes": pair})


def test_memory_is_told_where_the_criteria_speak_of_it() -> None:
    assert told(with_memory(30e6, 15e6, MEMORY), MEMORY)[1].startswith(
        f"{CELEBRATION}: 4.2× faster, 3.9× smaller and 2.0× less memory;"
    )
    assert "memory" not in told(with_memory(30e6, 15e6, FASTEST))[1]


def test_memory_that_grew_much_is_told_whatever_the_criteria() -> None:
    assert told(with_memory(30e6, 60e6, FASTEST)) == (
        Tone.MIXED,
        "4.2× faster and 3.9× smaller, and 2.0× the memory; top-1 unchanged",
    )
    assert told(with_memory(1e6, 2e6, FASTEST))[0] is Tone.GOOD, "a megabyte more is noise"


# --- other metrics, other limits -------------------------------------------------------------------------------------


def test_a_perplexity_that_rises_is_worse() -> None:
    report = measured(2.0, 4.0)
    fields = {"label": "perplexity", "unit": "", "higher_is_better": False}
    primary = report.primary.model_copy(update={**fields, "drop": Estimate(value=0.3, low=0.2, high=0.4)})
    report = report.model_copy(update={"metrics": (primary,)})
    assert headline(report, FASTEST, proven=True).sentence.endswith("perplexity rose 0.3, within the limit of 1")


def test_a_relative_limit_is_told_as_one() -> None:
    criteria = Criteria(constraints=Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.02))
    sentence = told(measured(4.2, 3.9, 0.5, criteria=criteria), criteria)[1]
    assert sentence.endswith("top-1 fell 0.5 points, within the limit of 2 % of its value")


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_where_the_original_stands_nothing_is_celebrated() -> None:
    verdict = Verdict(outcome=Outcome.UNCHANGED, reason="The original stands.")
    found = headline_of(verdict, None, FASTEST)
    assert (found.tone, found.sentence) == (Tone.NEUTRAL, NOTHING_BETTER)


def test_a_headline_that_was_made_stays() -> None:
    made = headline(measured(4.2, 3.9), FASTEST, proven=True)
    verdict = Verdict(outcome=Outcome.IMPROVED, candidate="c01", reason="c01.", headline=made)
    assert headline_of(verdict, measured(0.5, 3.9), SIZE) is made


@pytest.mark.parametrize(
    ("ratio", "said"), [(203.4, "203×"), (9.96, "10×"), (4.21, "4.2×"), (1.034, "1.03×"), (1.004, "1.004×")]
)
def test_a_ratio_has_the_digits_that_say_something(ratio: float, said: str) -> None:
    assert times(ratio) == said


# --- whom it hurts ---------------------------------------------------------------------------------------------------


def finding(kind: FindingKind, subject: str) -> Finding:
    return Finding(kind=kind, subject=subject, sentence="It loses.", p_value=0.001)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([finding(FindingKind.CLASS, "Shirt")], "but the class Shirt loses"),
        ([finding(FindingKind.GROUP, "night"), finding(FindingKind.GROUP, "rain")], "but 2 groups lose"),
        (
            [finding(FindingKind.CLASS, "Shirt"), finding(FindingKind.GROUP, "night")],
            "but the class Shirt loses and the group night loses",
        ),
        ([finding(FindingKind.CHURN, "predictions")], "but many predictions changed"),
    ],
)
def test_whom_a_change_hurts_ends_the_celebration(found: list[Finding], said: str) -> None:
    report = measured(4.2, 3.9).model_copy(update={"findings": tuple(found)})
    assert told(report) == (Tone.MIXED, f"4.2× faster and 3.9× smaller; top-1 unchanged, {said}")


def test_a_loss_of_a_group_within_its_limit_is_what_the_criteria_allow() -> None:
    report = measured(4.2, 3.9).model_copy(update={"findings": (finding(FindingKind.GROUP, "night"),)})
    limit = report.constraints[0].model_copy(update={"constraint": "max_group_drop_points", "limit": 5.0})
    assert told(report.model_copy(update={"constraints": (*report.constraints, limit)}))[0] is Tone.GOOD
    undecided = limit.model_copy(update={"status": Holds.INCONCLUSIVE})
    tone, sentence = told(report.model_copy(update={"constraints": (*report.constraints, undecided)}))
    assert tone is Tone.OPEN
    assert sentence.endswith("top-1 unchanged, no group proven to stay within 5 points")
