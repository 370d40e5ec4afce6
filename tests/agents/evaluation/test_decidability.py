"""What is said before a session starts: what its data can decide, and what earlier sessions on it mean."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import HIGHEST_CONFIDENCE, Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec, evaluation_count
from apps.agents.contracts.phrasing import ordinal
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.metrics import Flips
from apps.agents.evaluation.decidability import Decides, Earlier, dataset_for, decidability, earlier_of, round_up
from apps.agents.evaluation.repeated_use import repeated_use
from tests.agents.evaluation.test_verdicts import drop
from tests.optimization import material

CLASSIFY = DatasetSpec(kind="npz", task="classification")


def within(points: float | None, **more: object) -> Criteria:
    return Criteria.model_validate({"constraints": {"max_metric_drop_points": points}, **more})


def test_a_limit_that_no_candidate_could_be_shown_to_hold_is_warned_of_with_what_would_do() -> None:
    found = decidability(CLASSIFY, 2500, within(0.2))
    assert (found.decides, found.examples, found.limit) == (Decides.NO, evaluation_count(2500), 0.2)
    assert "too few for the limit of 0.2 points" in found.sentence
    assert "examples in the data set would be enough, or a limit of" in found.advice
    assert all(one.undecided > 0.8 for one in found.reaches if one.undecided is not None)


def test_where_it_depends_the_sentence_says_on_what() -> None:
    found = decidability(CLASSIFY, 2500, within(1.0))
    assert found.decides is Decides.DEPENDS
    assert "if a candidate changes 1 % of the answers, but not if it changes more" in found.sentence


def test_what_earlier_sessions_measured_takes_the_place_of_assumptions() -> None:
    earlier = [Earlier(90.0, discordant=share) for share in (0.004, 0.006, 0.008)]
    found = decidability(CLASSIFY, 2500, within(1.0), earlier)
    assert (found.decides, found.measured) == (Decides.YES, 3)
    assert [one.discordant_share for one in found.reaches] == [0.006, 0.008]
    assert "that changes as many answers as the 3 of earlier sessions stays inconclusive in 1 to 3 %" in found.sentence


def test_a_limit_of_nothing_cannot_be_proven() -> None:
    found = decidability(CLASSIFY, 10**6, within(0.0))
    assert found.decides is Decides.NO
    assert "no number of examples can prove a loss of exactly 0" in found.sentence


def test_without_a_limit_the_smallest_loss_is_still_told() -> None:
    found = decidability(CLASSIFY, 2500, within(None))
    assert found.decides is Decides.NO_LIMIT
    assert all(one.undecided is None for one in found.reaches)
    assert "can be excluded" in found.sentence


def test_metrics_that_are_no_shares_are_unknown_until_measured() -> None:
    spec = DatasetSpec(kind="npz", task="regression")
    assert decidability(spec, 2500, within(1.0)).decides is Decides.UNKNOWN
    found = decidability(spec, 2500, within(1.0), [Earlier(3.0, spread=20.0)])
    assert (found.decides, found.measured) == (Decides.NO, 1)
    assert found.reaches[0].dataset_needed == dataset_for(3140)


def test_a_relative_limit_is_taken_of_what_the_original_was_measured_to_have() -> None:
    relative = Criteria(constraints=Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.01))
    assert decidability(CLASSIFY, 2500, relative).limit == 1.0
    assert decidability(CLASSIFY, 2500, relative, [Earlier(50.0, discordant=0.01)]).limit == 0.5
    regression = DatasetSpec(kind="npz", task="regression")
    assert decidability(regression, 2500, relative).decides is Decides.NO_LIMIT


def test_limits_on_further_metrics_count_too() -> None:
    criteria = within(
        10.0, constraints={"max_metric_drop_points": 10.0, "metric_limits": {"top5": 0.2, "macro_f1": 1.0}}
    )
    found = decidability(CLASSIFY, 2500, criteria)
    assert (found.decides, found.every_limit) == (Decides.YES, Decides.NO)
    assert [one.decides for one in found.further] == [Decides.NO, Decides.UNKNOWN]
    assert "Whether top-5 accuracy loses more than 0.2 points stays inconclusive in" in found.further[0].sentence
    spreads = (("macro_f1", Earlier(90.0, spread=1.0)),)
    known = decidability(CLASSIFY, 2500, criteria, [Earlier(90.0, discordant=0.004, further=spreads)])
    assert known.further[1].decides is Decides.YES


def test_the_copy_of_an_answer_is_certain_but_for_how_few_examples_there_are() -> None:
    found = decidability(DatasetSpec(kind="npz", task="fidelity"), 2500, within(1.0))
    assert (found.decides, len(found.reaches)) == (Decides.YES, 1)


@pytest.mark.parametrize("training_share", [0.0, 0.3])
@pytest.mark.parametrize("evaluation", [1, 16, 2049, 100_000])
def test_the_data_set_that_would_do_is_the_smallest(evaluation: int, training_share: float) -> None:
    found = dataset_for(evaluation, training_share)
    assert evaluation_count(found, training_share) >= evaluation > evaluation_count(found - 1, training_share)


def test_reports_from_before_wins_and_losses_were_kept_still_say_them_by_their_flips() -> None:
    report: EvaluationReport = material.evaluation()
    flips = Flips(both_right=1900, both_wrong=52, lost=30, won=18, changed=60)
    old = report.model_copy(update={"metrics": (drop(0.6, 0.0, 1.2),), "flips": flips, "examples": 2000})
    assert earlier_of(old).discordant == pytest.approx(0.024)
    new = old.model_copy(update={"metrics": (drop(0.6, 0.0, 1.2, lost=20, won=8),), "flips": None})
    assert earlier_of(new).discordant == pytest.approx(0.014)
    other = old.model_copy(update={"metrics": (drop(0.6, 0.0, 1.2, metric="mae", unit=""),), "flips": None})
    assert earlier_of(other).spread == pytest.approx(0.6 / 1.96 * 2000**0.5, rel=0.01)


def test_numbers_are_rounded_upwards_so_that_they_would_do() -> None:
    assert [round_up(value) for value in (0.0, 0.677, 1302, 1300)] == pytest.approx([0.0, 0.68, 1400, 1300])


# --- repeated use -----------------------------------------------------------------------------------------------------


def test_the_seventh_session_is_told_what_remains_of_seven_verdicts() -> None:
    found = repeated_use(6, 0.95)
    assert found.number == 7
    assert found.all_right == pytest.approx(0.95**7)
    assert found.all_right_at_least == pytest.approx(0.65)
    assert "This is the 7th session" in found.sentence
    assert "all 7 together with about 70 %." in found.sentence
    assert "at least 65 %" in found.advice
    assert "confidence of 0.993" in found.advice


@pytest.mark.parametrize("before", [1, 3, 50, 2000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_confidence_that_is_advised_makes_all_of_them_right_together(before: int, confidence: float) -> None:
    found = repeated_use(before, confidence)
    if found.confidence_needed > HIGHEST_CONFIDENCE:
        assert "confidence of" not in found.advice
        return
    advised = float(found.advice.partition("confidence of ")[2].split()[0])
    assert advised <= HIGHEST_CONFIDENCE
    assert advised ** (before + 1) >= confidence - 1e-9


def test_the_first_session_is_told_nothing_to_do() -> None:
    assert repeated_use(0, 0.95).advice == ""
    assert repeated_use(0, 0.95).all_right == 0.95


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112, 1002)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "1,002nd",
    ]  # fmt: skip
