"""What is accepted, what is rolled back, and which candidate wins."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, Constraints, CountedSize, Criteria, Objective, Weights
from apps.agents.contracts.reports.constraints import Holds
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, Pair
from apps.agents.contracts.state import Outcome
from apps.agents.evaluation.selection import (
    GAIN,
    PLAUSIBILITY,
    Judgement,
    Standing,
    bar,
    best,
    judge,
    ranked,
    verdict_of,
)
from tests.agents.inmemory import Truth, evaluation, resnet

FASTEST, BALANCED = PROFILES["fastest"], PROFILES["balanced"]
SIZE = Criteria(objective=Objective.SIZE, constraints=Constraints())
CAUTIOUS = FASTEST.model_copy(update={"accept_inconclusive": False})


def report_of(
    speedup: float, size: float, drop: float = 0.0, margin: float = 0.2, criteria: Criteria = FASTEST, **more
) -> EvaluationReport:
    return evaluation(resnet(), Truth(speedup, size, drop, margin), criteria, **more)


def judged(*args, criteria: Criteria = FASTEST, **more) -> Judgement:
    return judge(report_of(*args, criteria=criteria, **more), criteria)


def missed(judgement: Judgement) -> set[str]:
    return {constraint for constraint, _ in judgement.misses}


def test_a_faster_candidate_within_every_limit_is_accepted():
    judgement = judged(4.0, 3.9, 0.1)

    assert judgement.standing is Standing.PROVEN
    assert judgement.score == pytest.approx(4.0)
    assert "4.00× as fast" in judgement.reason


def test_a_loss_beyond_the_limit_is_named_with_its_numbers():
    judgement = judged(4.0, 3.9, 33.3)

    assert missed(judgement) == {"max_metric_drop_points"}
    assert "fell by 33.3 points" in judgement.reason
    assert "limit of 1 point" in judgement.reason
    assert judgement.only_loses_metric


def test_a_gain_beyond_what_the_bits_allow_is_never_accepted():
    judgement = judged(4.0, 40.0, implausible=("40 times smaller with 8 bits.",))

    assert missed(judgement) == {PLAUSIBILITY}


def test_zeros_are_a_gain_only_where_the_compressed_size_counts():
    compressed = Pair(original=60_000_000, candidate=40_000_000, ratio=1.5)
    sparse = report_of(1.0, 1.0, criteria=SIZE).model_copy(update={"compressed_bytes": compressed})
    assert missed(judge(sparse, SIZE)) == {GAIN}
    counting = SIZE.model_copy(update={"counted_size": CountedSize.COMPRESSED})
    judgement = judge(sparse.model_copy(update={"counted_size": CountedSize.COMPRESSED}), counting)
    assert (judgement.standing, judgement.score) == (Standing.PROVEN, pytest.approx(1.5))
    assert "1.50 times smaller when compressed" in judgement.reason


def test_a_speedup_within_the_noise_of_the_control_is_no_gain():
    criteria = Criteria(objective=Objective.LATENCY, constraints=Constraints())
    noisy = report_of(1.05, 1.0, criteria=criteria)
    latency = noisy.latency.model_copy(update={"control": Estimate(value=1.0, low=0.94, high=1.06)})

    assert missed(judge(noisy.model_copy(update={"latency": latency}), criteria)) == {GAIN}
    assert judge(noisy, criteria).accepted


def test_a_speed_that_too_few_runs_leave_open_is_said_to_be_unknown():
    criteria = Criteria(objective=Objective.LATENCY, constraints=Constraints())
    slow = report_of(4.0, 1.0, criteria=criteria)
    latency = slow.latency.model_copy(update={"speedup": Estimate(value=4.0, low=0.0, high=UNKNOWN), "blocks": 2})
    judgement = judge(slow.model_copy(update={"latency": latency}), criteria)

    assert missed(judgement) == {GAIN}
    assert "speed is not known" in judgement.reason
    assert "1000000000" not in judgement.reason


def test_under_size_a_smaller_candidate_is_accepted_however_slow():
    assert judged(0.3, 3.9, criteria=SIZE).accepted
    assert missed(judged(3.0, 1.0, criteria=SIZE)) == {GAIN}


def test_balanced_accepts_no_candidate_that_is_slower_or_larger():
    assert judged(1.0, 2.0, criteria=BALANCED).accepted
    assert missed(judged(0.8, 4.0, criteria=BALANCED)) == {GAIN}
    assert missed(judged(2.0, 0.9, criteria=BALANCED)) == {GAIN}


def test_memory_counts_where_it_is_the_objective():
    criteria = Criteria(objective=Objective.MEMORY, constraints=Constraints())

    assert missed(judged(4.0, 4.0, criteria=criteria)) == {GAIN}


def test_the_balanced_score_is_the_weighted_geometric_mean():
    criteria = BALANCED.model_copy(update={"weights": Weights(latency=3, size=1)})

    assert judged(2.0, 4.0, criteria=criteria).score == pytest.approx((2.0**3 * 4.0) ** 0.25)


# --- inconclusive evidence -------------------------------------------------------------------------------------------


def test_inconclusive_evidence_within_the_limit_is_accepted_only_where_the_criteria_allow_it():
    allowed, refused = judged(2.0, 4.0, 0.0, 1.5), judged(2.0, 4.0, 0.0, 1.5, criteria=CAUTIOUS)

    assert allowed.standing is Standing.PROVISIONAL
    assert "inconclusive" in allowed.reason
    assert "more examples" in allowed.open_points[0]
    assert missed(refused) == {"max_metric_drop_points"}
    assert "more examples" in refused.reason


@pytest.mark.parametrize(("drop", "margin"), [(1.1, 0.5), (0.0, 5.0)])
def test_inconclusive_evidence_beyond_the_limit_or_next_to_none_is_refused(drop, margin):
    judgement = judged(2.0, 4.0, drop, margin)

    assert report_of(2.0, 4.0, drop, margin).constraints[0].status is Holds.INCONCLUSIVE
    assert not judgement.accepted


def test_safest_never_hands_over_what_is_not_proven():
    assert not PROFILES["safest"].accept_inconclusive
    assert all(PROFILES[name].accept_inconclusive for name in ("balanced", "smallest", "fastest"))


def test_the_search_is_to_beat_the_best_score_less_a_tenth_where_a_limit_is_open():
    proven, close, far = judged(2.0, 4.0), judged(2.1, 4.0, 0.0, 1.5), judged(2.5, 4.0, 0.0, 1.5)

    assert bar({"c01": proven, "c02": close}) == pytest.approx(2.0)
    assert bar({"c02": far}) == pytest.approx(2.5 / 1.1)
    assert bar({}) == 1.0


def chosen_by(*args, criteria: Criteria = FASTEST, **more) -> Judgement:
    return judge(report_of(*args, criteria=criteria, part=Part.CHOOSING, **more), criteria)


@pytest.mark.parametrize("criteria", [FASTEST, CAUTIOUS])
def test_the_validation_part_only_has_to_measure_a_value_within_the_limit(criteria):
    promising = chosen_by(2.0, 4.0, 0.9, 5.0, criteria=criteria)

    assert promising.standing is Standing.PROMISING
    assert promising.open_points
    assert promising.reason.startswith("On 400 validation examples, nothing speaks against it: 2.00× as fast")


def test_what_the_validation_part_leaves_open_is_repaired_and_may_be_judged_all_the_same():
    doubtful, broken = chosen_by(2.0, 4.0, 1.1, 0.5), chosen_by(2.0, 4.0, 1.1, 0.05)

    assert doubtful.only_loses_metric
    assert broken.only_loses_metric
    assert not doubtful.ruled_out
    assert broken.ruled_out
    assert ranked({"broken": broken, "doubtful": doubtful, "slower": chosen_by(1.5, 4.0)}) == ("slower", "doubtful")


def test_a_tie_goes_to_the_candidate_better_in_speed_and_size_together():
    assert best({"c01": judged(0.9, 3.9, criteria=SIZE), "c02": judged(4.0, 3.89, criteria=SIZE)}) == "c02"


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_the_verdict_says_what_the_evidence_leaves_open():
    verdict = verdict_of({"c01": judged(2.0, 4.0, 0.0, 1.5)}, {"c01": "Dynamic int8"}, FASTEST, chosen="c01")

    assert verdict.outcome is Outcome.IMPROVED
    assert "more examples" in verdict.inconclusive[0]
    assert "inconclusive" in verdict.reason


def test_when_the_original_stands_the_verdict_names_every_miss_and_what_binds():
    found = {"c01": judged(4.0, 3.9, 5.0), "c02": judged(2.0, 3.9, 2.0), "c03": judged(0.5, 3.9, 0.0)}

    verdict = verdict_of(found, dict.fromkeys(found, "x"), FASTEST)

    assert verdict.outcome is Outcome.UNCHANGED
    assert verdict.candidate is None
    assert verdict.binding == "max_metric_drop_points"
    assert {(miss.candidate, miss.constraint) for miss in verdict.misses} == {
        ("c01", "max_metric_drop_points"),
        ("c02", "max_metric_drop_points"),
        ("c03", "min_speedup"),
        ("c03", GAIN),
    }
    assert "2 of 3" in verdict.reason
    assert "c03 misses only the speed" in verdict.reason
    assert "objective size would accept its smaller file" in verdict.reason


def test_when_nothing_could_be_measured_nothing_is_known():
    verdict = verdict_of({}, {}, FASTEST)

    assert verdict.outcome is Outcome.NOT_MEASURED
    assert verdict.binding is None
    assert "it is unknown whether one would be better" in verdict.reason


def test_of_equal_size_and_speed_the_one_that_loses_least_wins():
    candidates = {"plain": judged(1.01, 1.5, 0.4, criteria=SIZE), "clever": judged(1.0, 1.5, 0.1, criteria=SIZE)}

    assert best(candidates) == "clever"
    assert best({**candidates, "faster": judged(1.2, 1.5, 0.6, criteria=SIZE)}) == "faster"


def noisy(speedup: float, drop: float, noise: float) -> Judgement:
    report = report_of(speedup, 3.9, drop, criteria=SIZE)
    wide = Estimate(value=speedup, low=speedup / noise, high=speedup * noise)
    return judge(report.model_copy(update={"latency": report.latency.model_copy(update={"speedup": wide})}), SIZE)


@pytest.mark.parametrize(("noise", "winner"), [(1.005, "faster"), (1.05, "closer"), (3.0, "closer")])
def test_the_smaller_loss_decides_only_within_the_measured_noise(noise: float, winner: str):
    assert best({"faster": noisy(2.1, 0.5, noise), "closer": noisy(2.0, 0.1, noise)}) == winner


def test_noise_never_makes_a_much_slower_candidate_alike():
    assert best({"faster": noisy(0.65, 0.5, 5.0), "closer": noisy(0.26, 0.0, 5.0)}) == "faster"


def test_of_alike_candidates_with_equal_loss_the_simpler_recipe_wins_then_the_key():
    alike = {key: judged(2.0, 3.9, 0.1, criteria=SIZE) for key in ("c03", "c01", "c02")}

    assert ranked(alike) == ("c01", "c02", "c03")
    assert ranked(alike, {"c01": 2, "c02": 1, "c03": 1}) == ("c02", "c03", "c01")


@pytest.mark.parametrize("criteria", [FASTEST, BALANCED])
def test_one_that_is_slower_than_the_original_is_never_delivered_where_latency_counts(criteria: Criteria):
    slow = {"c01": judged(0.65, 9.0, criteria=criteria), "c02": judged(0.26, 9.0, -1.0, criteria=criteria)}

    assert best(slow) is None
    assert not any(one.accepted for one in slow.values())


def test_a_perplexity_rises_or_falls_and_is_not_lost():
    report = report_of(1.0, 1.5, 0.12, criteria=SIZE)
    rise = Estimate(value=0.12, low=0.1, high=0.2)
    update = {"label": "perplexity", "unit": "", "higher_is_better": False, "drop": rise}
    primary = report.primary.model_copy(update=update)

    worse = judge(report.model_copy(update={"metrics": (primary,)}), SIZE)
    assert "perplexity rose 0.12" in worse.summary
    better = primary.model_copy(update={"drop": Estimate(value=-0.12, low=-0.2, high=-0.1)})
    assert "perplexity fell 0.12" in judge(report.model_copy(update={"metrics": (better,)}), SIZE).summary
