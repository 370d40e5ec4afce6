"""The large numbers of a verdict, in the language of the page."""

from __future__ import annotations

from django.utils import translation

from apps.agents.contracts.criteria import PROFILES, Constraints, CountedSize, Criteria, Objective
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate, Pair
from apps.optimization.tiles import Tile, metric_tile, size_tile, speed_tile
from tests.agents.inmemory import Truth, evaluation, resnet

UNLIMITED = Criteria(constraints=Constraints(max_metric_drop_points=None))
SIZE = Criteria(objective=Objective.SIZE, constraints=Constraints())


def measured(
    speedup: float, size: float, drop: float = 0.0, margin: float = 0.2, criteria: Criteria = PROFILES["fastest"]
) -> EvaluationReport:
    return evaluation(resnet(), Truth(speedup, size, drop, margin), criteria)


def timed(report: EvaluationReport, **latency: Estimate) -> EvaluationReport:
    return report.model_copy(update={"latency": report.latency.model_copy(update=latency)})


def test_tiles_carry_their_direction_in_their_label() -> None:
    report = measured(0.25, 0.8, 0.5, criteria=SIZE)
    assert speed_tile(report) == Tile("Slower", "4×", "3.92 to 4.08")
    assert size_tile(report).label == "Larger"
    assert metric_tile(report.primary) == Tile("Change, in points", "−0.5", "−0.7 to −0.3")
    assert metric_tile(measured(4.0, 3.9, -0.06).primary) == Tile(
        "Change, in points", "unchanged", "measured +0.06, −0.14 to 0.26"
    )
    assert speed_tile(measured(4.0, 3.9)) == Tile("Faster", "4×", "3.92 to 4.08")


def test_a_change_that_few_examples_cannot_tell_from_none_may_be_chance() -> None:
    report = measured(4.2, 3.9, 6.35, 7.75, UNLIMITED).model_copy(update={"examples": 47})
    assert metric_tile(report.primary) == Tile("Change, in points", "−6.35", "−14.1 to 1.4, may be chance")


def test_a_smaller_download_is_told_as_one() -> None:
    sizes = Pair(original=10_000_000, candidate=5_000_000, ratio=2.0)
    counted = {"compressed_bytes": sizes, "counted_size": CountedSize.COMPRESSED}
    report = evaluation(resnet(), Truth(1.0, 1.0, 0.0), UNLIMITED).model_copy(update=counted)
    assert size_tile(report) == ("Smaller", "2×", "10 MB → 5 MB, compressed")


def test_speed_within_the_noise_is_as_before_and_an_unbounded_one_is_not_known() -> None:
    report = measured(1.05, 3.9, criteria=SIZE)
    assert speed_tile(timed(report, control=Estimate(value=1.0, low=0.94, high=1.06))).value == "as before"
    assert speed_tile(timed(report, speedup=Estimate(value=4.0, low=-UNKNOWN, high=UNKNOWN))).value == "not known"


def test_an_error_that_rises_has_a_sign_and_no_unit() -> None:
    fields = {"label": "perplexity", "unit": "", "higher_is_better": False}
    primary = measured(2.0, 4.0).primary.model_copy(update=fields | {"drop": Estimate(value=0.3, low=0.2, high=0.4)})
    assert metric_tile(primary) == Tile("Change", "+0.3", "0.2 to 0.4")


def test_a_german_page_has_its_own_words_and_separators() -> None:
    with translation.override("de"):
        assert speed_tile(measured(0.25, 0.8, criteria=SIZE)) == Tile("Langsamer", "4×", "3.92 bis 4.08")
        assert metric_tile(measured(4.0, 3.9, -0.06).primary) == Tile(
            "Änderung (Punkte)", "unverändert", "gemessen +0.06, −0.14 bis 0.26"
        )
