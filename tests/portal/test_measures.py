"""Numbers as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.contracts.criteria import PROFILES, CountedSize
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate, Pair
from apps.optimization.templatetags import measures, predictions
from tests.agents.inmemory import Truth, evaluation, resnet
from tests.portal.world import report_body


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (4.2134, "4.21"),
        (0.1234, "0.123"),
        (91.42, "91.4"),
        (1234.5, "1,234"),
        (0.00001, "1.00e-05"),
    ],
)
def test_a_number_has_about_three_significant_digits(value: float | None, shown: str) -> None:
    assert measures.number(value) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (11_160_000, "11.2 MB"),
        (2_500_000_000, "2.50 GB"),
        (None, "–"),
    ],
)
def test_sizes_are_decimal(size_bytes: int | None, shown: str) -> None:
    assert measures.size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((0.4, "0 s"), (41.6, "42 s"), (59, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (200, "3 min 20 s")),
        *((7500, "2 h 5 min"), (7800, "2 h 10 min"), (None, "–")),
    ],
)
def test_durations_are_as_long_as_they_need_to_be(seconds: float | None, shown: str) -> None:
    assert measures.duration(seconds) == shown


def test_an_exact_number_has_no_interval() -> None:
    assert measures.interval({"value": 2.0, "low": None, "high": None}) == ""
    assert measures.interval({"value": 4.2, "low": 4.02, "high": 4.41}) == "4.02 to 4.41"


@pytest.mark.parametrize(
    ("drop", "shown"),
    [
        (0.2345, "−0.23"),
        (-0.2345, "+0.23"),
        (0.0, "unchanged"),
        (None, "–"),
        ("", "–"),
        ({"value": 0.06, "low": -0.1, "high": 0.2}, "unchanged (−0.06)"),
        ({"value": 0.06, "low": 0.01, "high": 0.2}, "−0.06"),
        (Estimate(value=-0.06, low=-0.1, high=0.2), "unchanged (+0.06)"),
        (Estimate(value=0.06), "−0.06"),
        ({"value": 6.35, "low": -1.4, "high": 14.1}, "−6.3 (may be chance)"),
        (Estimate(value=-6.35, low=-14.1, high=1.4), "+6.3 (may be chance)"),
    ],
)
def test_a_drop_is_shown_as_the_change_of_the_metric(drop: Any, shown: str) -> None:
    assert measures.change(drop) == shown


def test_in_a_narrow_column_the_number_has_a_line_of_its_own() -> None:
    told = measures.change_lines({"value": 0.06, "low": -0.1, "high": 0.2})
    assert told == 'unchanged<br><span class="soft small">(−0.06)</span>'
    assert measures.change_lines(0.3) == "−0.30"


def test_a_metric_that_is_better_low_rises_where_it_loses() -> None:
    assert measures.change(0.3, False) == "+0.30"


def test_a_predicted_rise_of_an_error_is_told_in_its_unit() -> None:
    assert predictions.foreseen(0.3, "top1") == "−0.30"
    assert predictions.foreseen(2.0, "mae") == "+2 % of it"
    assert predictions.foreseen(0.0, "mae") == "unchanged"
    primary = evaluation(resnet(), Truth(4.0, 3.9, 0.3, 0.1), PROFILES["fastest"]).primary
    error = {"metric": "mae", "unit": "°C", "original": Estimate(value=0.6), "higher_is_better": False}
    assert predictions.foreseen(2.0, primary.model_copy(update=error)) == "+0.012 °C"
    assert predictions.foreseen(0.3, None) == "−0.30"


def test_a_limit_on_the_metric_is_shown_with_the_sign_of_the_change() -> None:
    report = evaluation(resnet(), Truth(4.0, 3.9, 0.3, 0.1), PROFILES["fastest"])
    loss, speed = (measures.as_measured(one, report.primary) for one in report.constraints)
    assert (loss.limit, loss.measured.value, loss.measured.low) == (-1.0, -0.3, -0.4)
    assert speed == report.constraints[1]
    assert measures.measured_value(loss) == "−0.3 points"
    assert measures.measured_value(speed) == "4.00×"
    gained = loss.model_copy(update={"measured": Estimate(value=0.2871)})
    assert measures.measured_value(gained) == "+0.29 points", "with its sign, and as exact as the sentence beside it"
    rising = report.primary.model_copy(update={"higher_is_better": False})
    assert measures.as_measured(report.constraints[0], rising).limit == 1.0


def test_both_sizes_are_told_and_the_one_that_counts_first() -> None:
    report = evaluation(resnet(), Truth(1.0, 1.0, 0.0), PROFILES["smallest"])
    assert (measures.counted_ratio(report), measures.other_size(report)) == ("1.00×", "")
    both = report.model_copy(update={"compressed_bytes": Pair(original=3.0, candidate=2.0, ratio=1.5)})
    assert (measures.counted_ratio(both), measures.other_size(both)) == ("1.00×", "1.50× compressed")
    counted = both.model_copy(update={"counted_size": CountedSize.COMPRESSED}).model_dump(mode="json")
    assert (measures.counted_ratio(counted), measures.other_size(counted)) == ("1.50×", "1.00× as a file")
    pair = Pair(original=4.0, candidate=1.0, ratio=4.0)
    litert = both.model_copy(update={"counted_size": CountedSize.TFLITE, "litert_bytes": pair})
    assert (measures.counted_ratio(litert), measures.other_size(litert)) == ("4.00×", "1.00× as a file")


@pytest.mark.parametrize(("ratio", "shown"), [(3.91, "3.91× smaller"), (0.5, "2.00× larger"), (1.002, "unchanged")])
def test_a_ratio_below_one_is_told_the_other_way_round(ratio: float, shown: str) -> None:
    assert measures.size_words(Pair(original=1.0, candidate=1.0, ratio=ratio)) == shown


def test_a_negative_bound_has_a_real_minus_sign() -> None:
    assert measures.interval({"low": -0.5, "high": 0.25}) == "−0.500 to 0.250"


def test_every_status_has_a_tone() -> None:
    from apps.agents.contracts.reports.constraints import Holds
    from apps.agents.contracts.state import CandidateStatus, Outcome, Status, Tone

    for status in (*Status, *CandidateStatus, *Outcome, *Holds, *Tone):
        assert str(status) in measures._BADGES


def test_an_end_that_nothing_bounds_is_infinite() -> None:
    assert measures.interval({"low": 1.2, "high": 1e9}) == "1.20 to ∞"
    assert measures.interval({"low": -1e9, "high": 0.5}) == "−∞ to 0.500"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1.1, "×", "1.10×"), (4_770_000, "bytes", "4.77 MB"), (-0.172, "points", "−0.172 points"), (None, "ms", "–")],
)
def test_a_measurement_stands_in_its_unit(value: float | None, unit: str, shown: str) -> None:
    assert measures.bytes_or_number(value, unit) == shown


def test_a_reason_leaves_the_numbers_to_their_columns() -> None:
    assert measures.without_prediction("Half the bytes. Predicted 2× as fast.") == "Half the bytes."


def test_settings_that_say_nothing_are_left_out() -> None:
    told = measures.as_settings({"per_channel": True, "keep_float_nodes": [], "operators": ["Conv", "Gemm"]})
    assert told == [("per channel", "yes"), ("operators", "Conv, Gemm")]


def test_every_limit_and_test_has_a_name() -> None:
    from apps.agents.contracts.criteria import Constraints

    assert all(measures.limit_name(field) != measures.words(field) for field in Constraints.model_fields)
    assert measures.test_name("mcnemar") == "McNemar's test"


def test_what_a_candidate_was_measured_on_tells_ranking_from_judging() -> None:
    judged = EvaluationReport.model_validate(report_body("evaluation") | {"examples": 1396})
    assert measures.measured_on(judged) == "on 1,396 examples"
    assert measures.measured_on({"part": "choosing", "examples": 697}) == "on 697 validation examples"
    assert measures.measured_on({"examples": 697}) == "on 697 examples"


def test_what_a_technique_found_out_has_a_row_for_each_part_and_says_what_is_left_out() -> None:
    evidence = {
        "agreement": 0.9999871,
        "kept": [f"n{number}" for number in range(23)],
        "none": [],
        "parts": {"a": True},
    }

    agreement, kept, part = measures.as_found(evidence)
    assert (agreement, part) == (("agreement", "0.999987"), ("parts a", "yes"))
    assert kept == ("kept", ", ".join(f"n{number}" for number in range(20)) + " and 3 more")
    *shown, last = measures.as_found({f"layer {number}": number for number in range(25)})
    assert len(shown) == measures.MOST_FOUND
    assert last == ("and", "5 more, listed in the API")
