"""What a plan says of limits that no candidate can hold, and of steps that fit on no worker."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import Constraints, CountedSize, Criteria, Objective
from apps.agents.contracts.reports.room import WorkersRoom
from apps.agents.contracts.state import Plan, Prediction
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.feasibility import OriginalFacts, Point, nearest_feasible
from apps.agents.planning.room import TRAINED_BYTES_PER_PARAMETER, against_the_workers, room_to_measure, rooms_of
from apps.agents.techniques.catalogue import catalogue
from tests.agents.inmemory import DYNAMIC, STATIC, World, resnet

INT8, HALF = ("int8", 1.8, 3.9, 0.4), ("float16", 1.0, 2.0, 0.0)


def point(title: str, speedup: float, size_ratio: float, drop: float) -> Point:
    predicted = Prediction(
        speedup=speedup, size_ratio=size_ratio, metric_drop_points=drop, risk="low", basis="made up for this test"
    )
    return Point(title, predicted)


def wanted(**limits: float) -> Criteria:
    return Criteria(objective=Objective.SIZE, constraints=Constraints(**limits))


def plan(world: World, criteria: Criteria, workers: WorkersRoom | None = None) -> Plan:
    return PlanningAgent().plan(world.analysis, criteria, world.dataset, disabled=("onnx-prune",), workers=workers)


def test_eight_times_smaller_is_out_of_reach_of_eight_bits_and_the_nearest_point_is_named():
    found = nearest_feasible([point(*HALF), point(*INT8)], wanted(min_size_reduction=8.0))

    assert found is not None
    assert (found.title, found.unreachable) == ("int8", ("min_size_reduction",))
    assert found.reaches == {"min_size_reduction": 3.9}
    # The size may turn out two per cent better than predicted, and half of what was asked is missing then.
    assert found.distance == pytest.approx((8 - 3.9 * 1.02) / 8, abs=1e-4)
    assert found.sentence == (
        "No technique that may be used can hold these limits. The nearest is int8: 3.9 times smaller, and 8 "
        "times is required. Allow other techniques, or set the limit to 3.9 times smaller."
    )


def test_nothing_is_said_while_one_candidate_may_hold_every_limit():
    assert nearest_feasible([point(*HALF), point(*INT8)], wanted(min_size_reduction=3.8)) is None
    assert nearest_feasible([point(*HALF)], wanted()) is None
    assert nearest_feasible([], wanted(min_size_reduction=8.0)) is None


def test_a_speed_may_turn_out_better_than_predicted_but_not_by_any_factor():
    assert nearest_feasible([point(*INT8)], wanted(min_speedup=2.3)) is None
    found = nearest_feasible([point(*INT8)], wanted(min_speedup=2.4))
    assert found is not None
    assert found.missed == ("min_speedup",)


def test_limits_that_different_points_hold_are_out_of_reach_only_together():
    fast, small = point("fast", 4.0, 1.0, 0.0), point("small", 1.0, 3.9, 0.0)
    found = nearest_feasible([fast, small], wanted(min_speedup=2.0, min_size_reduction=3.0))
    assert found is not None
    assert (found.title, found.missed, found.unreachable) == ("small", ("min_speedup",), ())


def test_absolute_limits_are_compared_with_the_original_where_it_is_known():
    criteria = wanted(max_size_bytes=1_000_000, max_latency_ms=1.0)
    assert nearest_feasible([point(*INT8)], criteria) is None
    found = nearest_feasible([point(*INT8)], criteria, OriginalFacts(size_bytes=11_200_000, latency_ms=9.0))
    assert found is not None
    assert found.unreachable == ("max_latency_ms", "max_size_bytes")
    assert "2.87 MB, and 1 MB is the limit" in found.sentence


@pytest.mark.parametrize("counted", [CountedSize.COMPRESSED, CountedSize.TFLITE])
def test_a_limit_in_bytes_on_another_size_is_not_held_against_the_file(counted: CountedSize):
    criteria = wanted(max_size_bytes=1_000_000).model_copy(update={"counted_size": counted})
    assert nearest_feasible([point(*INT8)], criteria, OriginalFacts(size_bytes=11_200_000)) is None
    # That size is estimated, so it may turn out better by as much as a speed.
    criteria = wanted(min_size_reduction=5.0).model_copy(update={"counted_size": counted})
    assert nearest_feasible([point(*INT8)], criteria) is None


def test_of_two_equally_small_ones_the_one_predicted_to_lose_less_is_nearest():
    lossy, sound = point("lossy", 1.0, 3.9, 12.0), point("sound", 1.0, 3.9, 0.2)
    found = nearest_feasible([lossy, sound], wanted(min_size_reduction=8.0))
    assert found is not None
    assert found.title == "sound"


def test_the_plan_says_it_at_once_and_keeps_the_point():
    criteria = wanted(min_size_reduction=8.0).model_copy(update={"allowed_techniques": (STATIC, DYNAMIC)})
    made = plan(resnet(), criteria)
    assert not made.candidates
    assert made.nearest is not None
    assert made.summary.endswith(made.nearest.sentence)
    assert made.nearest.unreachable == ("min_size_reduction",)

    assert plan(resnet(), wanted(min_size_reduction=1.5)).nearest is None


# --- memory and disk --------------------------------------------------------------------------------------------------


def test_every_candidate_says_what_it_takes_and_training_takes_more():
    world = resnet()
    bases = bases_of_analyses(world.analysis, (), world.dataset.task)
    static, prune = catalogue()[STATIC], catalogue()["onnx-prune"]
    [one] = rooms_of([static], bases.original, 3.9)
    analysis = world.analysis
    running_bytes = 58_000_000 + 2 * analysis.peak_memory_bytes
    assert one.memory_bytes == running_bytes + analysis.model.size_bytes
    assert one.disk_bytes == pytest.approx(2 * analysis.model.size_bytes / 3.9, rel=1e-3)
    assert room_to_measure(static, bases.original).memory_bytes == running_bytes

    two = rooms_of([prune, static], bases.original, 3.9)
    assert [room.disk_bytes for room in two] == [analysis.model.size_bytes, one.disk_bytes]
    [trained] = rooms_of([static.model_copy(update={"needs_training": True})], bases.original, 3.9)
    assert trained.memory_bytes - one.memory_bytes == TRAINED_BYTES_PER_PARAMETER * analysis.model.parameters

    for candidate in plan(world, wanted(min_size_reduction=1.5)).candidates:
        assert candidate.predicted.memory_bytes
        assert candidate.predicted.disk_bytes


def test_what_fits_on_no_worker_is_said_with_both_numbers():
    criteria = wanted(min_size_reduction=1.5)
    small = plan(resnet(), criteria, WorkersRoom(memory_bytes=50_000_000, disk_bytes=1000))
    assert "of memory, and a step on the largest worker may take 50 MB." in small.summary
    assert "of disk, and the largest worker has 1 kB." in small.summary
    assert small.summary.endswith("Such a step fails unless a larger worker joins.")

    large = plan(resnet(), criteria, WorkersRoom(memory_bytes=10**12, disk_bytes=10**12))
    assert large == plan(resnet(), criteria)
    assert large == against_the_workers(large, WorkersRoom())
