"""Intervals against limits, and the sentences that say it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apps.agents.contracts.criteria import Constraints, CountedSize
from apps.agents.contracts.phrasing import number, number_of_bytes
from apps.agents.contracts.reports.constraints import ConstraintVerdict, Holds
from apps.agents.contracts.reports.measurements import Estimate, Latency, LatencyComparison, Pair
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.evaluation.deciding import decide, more_needed
from apps.agents.evaluation.measured import Measurements
from apps.agents.evaluation.verdicts import judge, overall

NO_LIMITS = Constraints(max_metric_drop_points=None)


def drop(value: float, low: float, high: float, **more: Any) -> MetricComparison:
    fields = {
        "metric": "top1",
        "label": "top-1 accuracy",
        "unit": "%",
        "higher_is_better": True,
        "original": Estimate(value=90.0, low=89.0, high=91.0),
        "candidate": Estimate(value=90.0 - value),
        "test": "mcnemar",
        "p_value": 0.5,
    }
    return MetricComparison(drop=Estimate(value=value, low=low, high=high), **fields | more)


def measured(primary: MetricComparison | None = None, **more: Any) -> Measurements:
    alone = Latency(p50_ms=2.0, p95_ms=3.0, throughput_per_s=500.0, runs=100, batch_size=1, threads=1)
    timing = {
        "original": alone,
        "candidate": alone,
        "speedup": Estimate(value=2.0, low=1.9, high=2.1),
        "control": Estimate(value=1.0, low=0.98, high=1.02),
        "blocks": 20,
        "runs_per_block": 30,
        "warmup_runs": 10,
    } | more.pop("latency", {})
    fields = {
        "primary": primary or drop(0.12, -0.31, 0.55),
        "examples": 2400,
        "latency": LatencyComparison(**timing),
        "candidate_latency_ms": Estimate(value=2.0, low=1.9, high=2.1),
        "size_bytes": Pair(original=11_160_000, candidate=2_880_000, ratio=3.875),
        "peak_memory_bytes": Pair(original=30_000_000, candidate=15_000_000, ratio=2.0),
        "confidence": 0.95,
    }
    return Measurements(**fields | more)


def only(constraints: Constraints, measurements: Measurements) -> ConstraintVerdict:
    (verdict,) = judge(constraints, measurements)
    return verdict


@pytest.mark.parametrize(
    ("low", "high", "bound", "status"),
    [
        (0.2, 0.9, "at most", Holds.HOLDS),
        (0.2, 1.0, "at most", Holds.HOLDS),
        (0.9, 1.1, "at most", Holds.INCONCLUSIVE),
        (1.0, 1.1, "at most", Holds.INCONCLUSIVE),
        (1.01, 1.5, "at most", Holds.VIOLATED),
        (1.01, 1.5, "at least", Holds.HOLDS),
        (0.9, 1.5, "at least", Holds.INCONCLUSIVE),
        (0.2, 0.99, "at least", Holds.VIOLATED),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, bound: Any, status: Holds) -> None:
    assert decide(Estimate(value=(low + high) / 2, low=low, high=high), 1.0, bound) is status


@pytest.mark.parametrize(("value", "status"), [(0.9, Holds.HOLDS), (1.0, Holds.HOLDS), (1.1, Holds.VIOLATED)])
def test_an_exact_number_always_decides(value: float, status: Holds) -> None:
    assert decide(Estimate(value=value), 1.0, "at most") is status


def test_no_limits_no_verdicts() -> None:
    assert judge(NO_LIMITS, measured()) == ()
    assert overall(()) is Holds.HOLDS


def test_a_drop_within_the_limit_is_told_with_its_interval() -> None:
    verdict = only(Constraints(), measured(drop(0.12, -0.31, 0.55)))
    assert verdict.status is Holds.HOLDS
    assert verdict.margin == pytest.approx(0.88)
    assert verdict.sentence == (
        "Top-1 accuracy is unchanged (−0.12 points, 95 % interval −0.55 to 0.31), within the limit of 1 point."
    )


def test_a_drop_beyond_the_limit_is_violated() -> None:
    verdict = only(Constraints(), measured(drop(43.1, 40.2, 46.0)))
    assert verdict.status is Holds.VIOLATED
    assert verdict.sentence.endswith("beyond the limit of 1 point.")
    assert verdict.margin == pytest.approx(-42.1)


def test_a_drop_whose_interval_crosses_the_limit_says_how_many_examples_would_decide() -> None:
    verdict = only(Constraints(), measured(drop(0.6, 0.0, 1.2)))
    assert verdict.status is Holds.INCONCLUSIVE
    # The interval must shrink from 0.6 to 0.4: (0.6 / 0.4)² = 2.25 times the examples.
    assert verdict.to_decide == "About 3,000 more examples would decide, if the drop stays at 0.6 points."


def test_too_few_examples_for_any_candidate_is_said_so() -> None:
    verdict = only(Constraints(max_metric_drop_points=0.2), measured(drop(0.0, -0.4, 0.4), examples=600))
    assert verdict.status is Holds.INCONCLUSIVE
    assert verdict.to_decide is not None
    assert "even a candidate without any drop could not" in verdict.to_decide
    assert "1,800 more examples" in verdict.to_decide


def test_a_limit_of_nothing_cannot_be_proven_by_examples() -> None:
    verdict = only(Constraints(max_metric_drop_points=0.0), measured(drop(0.1, -0.4, 0.6)))
    assert verdict.status is Holds.INCONCLUSIVE
    assert "allow a small drop" in (verdict.to_decide or "")


def test_equal_outputs_hold_even_a_limit_of_nothing() -> None:
    assert only(Constraints(max_metric_drop_points=0.0), measured(drop(0.0, 0.0, 0.0))).status is Holds.HOLDS


def test_an_error_that_grows_is_told_as_a_rise() -> None:
    fields = {"label": "mean absolute error", "unit": "", "higher_is_better": False}
    error = drop(0.5, 0.4, 0.6, candidate=Estimate(value=90.5), **fields)
    assert only(Constraints(), measured(error)).sentence == (
        "Mean absolute error rose from 90.00 to 90.50, by 0.5 (95 % interval 0.4 to 0.6), within the limit of 1."
    )


def test_a_perplexity_is_told_with_both_values() -> None:
    fields = {"label": "perplexity", "unit": "", "higher_is_better": False}
    values = {"original": Estimate(value=46.712), "candidate": Estimate(value=46.828)}
    rise = drop(0.116, 0.08, 0.15, **values, **fields)
    assert only(Constraints(), measured(rise)).sentence == (
        "Perplexity rose from 46.71 to 46.83, by 0.116 (95 % interval 0.08 to 0.15), within the limit of 1."
    )
    relative = Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.01)
    assert only(relative, measured(rise)).sentence == (
        "Perplexity rose from 46.71 to 46.83, by 0.25 % of its value (95 % interval 0.17 to 0.32), "
        "within the limit of 1 % (0.467)."
    )
    undecided = only(Constraints(max_metric_drop_points=0.1), measured(rise))
    assert undecided.to_decide is not None
    assert "if the drop stays at 0.116." in undecided.to_decide


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop(-0.3, -0.9, 0.2), "Top-1 accuracy is unchanged (+0.3 points, 95 % interval −0.2 to 0.9), within"),
        (drop(-0.3, -0.9, -0.1), "Top-1 accuracy rose by 0.3 points (95 % interval 0.1 to 0.9), within"),
        (drop(0.3, 0.1, 0.9), "Top-1 accuracy fell by 0.3 points (95 % interval −0.9 to −0.1), within"),
        (drop(0.0, 0.0, 0.0), "Top-1 accuracy did not change, within"),
        (
            drop(0.6, -0.1, 1.2),
            "Top-1 accuracy measured 0.6 points lower (95 % interval −1.2 to 0.1), and the interval",
        ),
        (drop(0.0, -1.2, 1.2), "Top-1 accuracy measured the same (95 % interval −1.2 to 1.2), and the interval"),
    ],
)
def test_a_change_is_told_with_its_sign_and_as_none_where_chance_explains_it(
    change: MetricComparison, said: str
) -> None:
    assert only(Constraints(), measured(change)).sentence.startswith(said)


@pytest.mark.parametrize(
    ("limit", "status"), [(0.02, Holds.HOLDS), (0.005, Holds.INCONCLUSIVE), (0.001, Holds.VIOLATED)]
)
def test_a_relative_limit_is_a_share_of_the_original(limit: float, status: Holds) -> None:
    constraints = Constraints(max_metric_drop_points=None, max_metric_drop_relative=limit)
    verdict = only(constraints, measured(drop(0.45, 0.18, 0.9)))
    assert verdict.measured.value == pytest.approx(0.005)
    assert verdict.status is status


def test_where_the_original_has_hardly_an_error_a_negligible_one_is_allowed() -> None:
    relative = Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.02)
    error = {"metric": "mae", "label": "mean absolute error", "unit": "°C", "higher_is_better": False}

    def verdict(original: float, rise: float, negligible: float | None = 0.01) -> ConstraintVerdict:
        values = {"original": Estimate(value=original), "candidate": Estimate(value=original + rise)}
        return only(relative, measured(drop(rise, rise, rise, **error, **values, negligible=negligible)))

    assert verdict(0.0, 0.009).status is Holds.HOLDS
    assert verdict(0.0, 0.011).status is Holds.VIOLATED
    assert "rose from 0.000 to 0.011 °C, by 0.011 °C" in verdict(0.0, 0.011).sentence
    assert "the limit of 0.01 °C, which is negligible against the labels' spread" in verdict(0.0, 0.011).sentence
    assert verdict(1.0, 0.019).status is Holds.HOLDS
    assert verdict(1.0, 0.021).status is Holds.VIOLATED
    assert verdict(0.0, 0.009, None).status is Holds.INCONCLUSIVE


def test_a_relative_limit_of_a_metric_at_zero_cannot_be_judged() -> None:
    constraints = Constraints(max_metric_drop_points=None, max_metric_drop_relative=0.1)
    verdict = only(constraints, measured(drop(0.1, 0.0, 0.2, original=Estimate(value=-5.0))))
    assert verdict.status is Holds.INCONCLUSIVE
    assert "limit the loss in points" in (verdict.to_decide or "")
    assert ConstraintVerdict.model_validate_json(verdict.model_dump_json()).measured.low is not None


@pytest.mark.parametrize(("limit", "status"), [(2.2, Holds.HOLDS), (2.0, Holds.INCONCLUSIVE), (1.5, Holds.VIOLATED)])
def test_latency_is_the_candidates_median_run(limit: float, status: Holds) -> None:
    verdict = only(Constraints(max_metric_drop_points=None, max_latency_ms=limit), measured())
    assert verdict.status is status
    assert verdict.unit == "ms"


@pytest.mark.parametrize(("limit", "status"), [(1.5, Holds.HOLDS), (2.05, Holds.INCONCLUSIVE), (3.0, Holds.VIOLATED)])
def test_speed_up_is_held_against_the_least_that_was_asked(limit: float, status: Holds) -> None:
    verdict = only(Constraints(max_metric_drop_points=None, min_speedup=limit), measured())
    assert verdict.status is status
    assert verdict.margin == pytest.approx(2.0 - limit)
    assert (verdict.to_decide is not None) is (status is Holds.INCONCLUSIVE)
    if verdict.to_decide:
        assert re.match(r"About \d+ more rounds of 30 runs", verdict.to_decide)


def test_a_control_that_is_off_widens_the_speed_up() -> None:
    constraints = Constraints(max_metric_drop_points=None, min_speedup=1.8)
    noisy = {"control": Estimate(value=1.1, low=1.05, high=1.15)}
    assert only(constraints, measured()).status is Holds.HOLDS
    verdict = only(constraints, measured(latency=noisy))
    assert verdict.status is Holds.INCONCLUSIVE
    assert verdict.measured.low == pytest.approx(1.9 / 1.1)


def test_sizes_are_exact() -> None:
    constraints = Constraints(
        max_metric_drop_points=None, max_size_bytes=3_000_000, min_size_reduction=4.0, max_memory_bytes=10_000_000
    )
    size, reduction, memory = judge(constraints, measured())
    assert (size.status, reduction.status, memory.status) == (Holds.HOLDS, Holds.VIOLATED, Holds.VIOLATED)
    assert size.sentence == "The file takes 2.88 MB, within the limit of 3 MB."
    assert reduction.sentence == ("The file shrank, from 11.2 MB to 2.88 MB (3.88×), less than the 4× required.")
    assert memory.measured.low is None


def test_limits_on_size_mean_the_size_that_counts() -> None:
    constraints = Constraints(max_metric_drop_points=None, max_size_bytes=3_000_000, min_size_reduction=4.0)
    size, reduction = judge(constraints, measured(counted_size=CountedSize.COMPRESSED))
    assert size.sentence == "The compressed file takes 2.88 MB, within the limit of 3 MB."
    assert reduction.sentence.startswith("The compressed file shrank, from 11.2 MB to 2.88 MB (3.88×)")
    (size, _) = judge(constraints, measured(counted_size=CountedSize.TFLITE))
    assert size.sentence == "The TensorFlow Lite file takes 2.88 MB, within the limit of 3 MB."


def test_violated_outweighs_inconclusive_outweighs_holds() -> None:
    constraints = Constraints(max_size_bytes=1, min_speedup=2.05)
    verdicts = judge(constraints, measured())
    assert {verdict.status for verdict in verdicts} == {Holds.HOLDS, Holds.INCONCLUSIVE, Holds.VIOLATED}
    assert overall(verdicts) is Holds.VIOLATED
    assert overall(v for v in verdicts if v.status is not Holds.VIOLATED) is Holds.INCONCLUSIVE


def test_more_examples_shrink_the_interval_by_their_root() -> None:
    assert more_needed(Estimate(value=0.5, low=0.0, high=1.0), 0.75, 100) == 300
    assert more_needed(Estimate(value=2.0, low=1.5, high=2.5), 1.75, 100) == 300
    assert more_needed(Estimate(value=1.0, low=0.5, high=1.5), 1.0, 100) is None
    assert more_needed(Estimate(value=1.0), 2.0, 100) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.12345, "0.123"), (-0.31, "−0.31"), (1234.5, "1,234"), (90.15, "90.2"), (1e-5, "0.00001"), (1.0, "1")],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (2_880_000, "2.88 MB"), (4.2e9, "4.2 GB"), (5e13, "50,000 GB")]
)
def test_bytes_read_well(count: float, text: str) -> None:
    assert number_of_bytes(count) == text


# --- a busy machine --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        Constraints(max_metric_drop_points=None, min_speedup=1.5),
        Constraints(max_metric_drop_points=None, max_latency_ms=9.0),
    ],
)
def test_on_a_busy_machine_no_limit_on_speed_is_decided(limit: Constraints) -> None:
    verdict = only(limit, measured(latency={"busy": True, "runs": 900, "disturbed": 812, "blocks": 2}))
    assert verdict.status is Holds.INCONCLUSIVE
    assert "812 of 900 timed runs were disturbed" in (verdict.to_decide or "")
    assert "LATHE_CORES" in (verdict.to_decide or "")


def test_two_rounds_of_a_very_slow_model_decide_nothing() -> None:
    limit = Constraints(max_metric_drop_points=None, min_speedup=1.5)
    verdict = only(limit, measured(latency={"blocks": 2, "runs": 6}))
    assert verdict.status is Holds.INCONCLUSIVE
    assert "only 2 rounds" in verdict.sentence
    assert "more minutes" in (verdict.to_decide or "")
