"""Weight clustering is planned where the download counts or the criteria name it, and nowhere else."""

from __future__ import annotations

import pytest

from apps.agents.contracts.criteria import PROFILES, CountedSize, Criteria
from apps.agents.contracts.state import Plan
from apps.agents.planning.agent import PlanningAgent
from apps.agents.techniques.catalogue import BUILTIN
from apps.agents.techniques.clustering.specs import ONNX_CLUSTERING
from apps.agents.techniques.order import why_not_after
from apps.agents.techniques.spec import Family
from tests.agents.inmemory import resnet

NAME = ONNX_CLUSTERING.name
SMALLEST = PROFILES["smallest"]


def plan_of(criteria: Criteria) -> Plan:
    world = resnet()
    return PlanningAgent().plan(world.analysis, criteria, world.dataset)


def test_two_codebooks_are_planned_where_the_compressed_size_counts() -> None:
    counting = SMALLEST.model_copy(update={"counted_size": CountedSize.COMPRESSED, "allowed_techniques": (NAME,)})
    plan = plan_of(counting)
    assert {one.steps[-1].parameters["clusters"] for one in plan.candidates} == {16, 64}
    small, large = sorted(plan.candidates, key=lambda one: one.steps[-1].parameters["clusters"])
    assert small.predicted.size_ratio > large.predicted.size_ratio > 2.5
    assert small.predicted.metric_drop_points > large.predicted.metric_drop_points
    assert small.predicted.speedup == large.predicted.speedup == 1


@pytest.mark.parametrize("profile", ["smallest", "balanced", "fastest"])
def test_it_is_left_out_with_the_reason_where_the_file_counts(profile: str) -> None:
    plan = plan_of(PROFILES[profile])
    assert NAME not in {one.technique for one in plan.candidates}
    (omitted,) = [one for one in plan.omitted if one.technique == NAME]
    assert omitted.reason == "Only the compressed file becomes smaller by it, and the criteria do not count that."


def test_whoever_names_it_gets_it() -> None:
    plan = plan_of(PROFILES["fastest"].model_copy(update={"allowed_techniques": (NAME,)}))
    assert {one.technique for one in plan.candidates} == {NAME}


def test_no_technique_that_makes_new_weights_follows_it() -> None:
    later = [spec for spec in BUILTIN if "onnx" in spec.formats and spec.family in (Family.PRUNING, Family.TRAINING)]
    assert later
    assert all(why_not_after(spec, [ONNX_CLUSTERING], "onnx") for spec in later)
