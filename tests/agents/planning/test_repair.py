"""A candidate that gains but loses too much is repaired: operators first, then nodes by bisection."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import pytest

from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.agents.contracts.plan_edits import NamedLink, PlanEdits
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.contracts.state import CandidateStatus, Outcome
from tests.agents.inmemory import (
    BLOCKS,
    CONVOLUTION_FACTORS,
    DYNAMIC,
    GPTQ,
    NEAREST,
    STATIC,
    InMemoryPipeline,
    World,
    resnet,
)
from tests.agents.torch_worlds import torch_language_model

ONE_POINT = Constraints(max_metric_drop_points=1.0, min_speedup=1.1)
FASTEST = Criteria(objective=Objective.LATENCY, constraints=ONE_POINT)
ONLY_STATIC = FASTEST.model_copy(update={"allowed_techniques": ("onnx-graph", STATIC)})


def deep(count: int, fragile: dict[str, float], *, ranked: bool = True) -> World:
    """`count` convolutions; the analysis ranks the fragile ones first, or knows nothing."""
    layers = tuple(
        Layer(
            name=f"conv{n}",
            op_type="Conv",
            parameters=10_000,
            weight_bytes=40_000,
            time_share=1 / count,
            sqnr_db=(14.0 if f"conv{n}" in fragile else 30.0 + n / 100) if ranked else None,
        )
        for n in range(count)
    )
    return World(
        layers=layers,
        size_bytes=count * 40_000 + 1000,
        factors=CONVOLUTION_FACTORS,
        sensitivity={"Conv": 12.0} if ranked else {},
        fragile_nodes=fragile,
    )


def chain(run, root: str = "c01"):
    return [candidate for candidate in run.last.candidates if candidate.key.startswith(root)]


def test_an_operator_type_that_explains_the_loss_stays_in_float():
    # The analysis puts Add above the threshold of the first plan, though it is what breaks the model.
    world = resnet(sensitivity={"Conv": 24.0, "Add": 11.0}, fragile_operators={"Add": 33.3})
    run = InMemoryPipeline(world, ONLY_STATIC).run()

    lost, repaired = chain(run)
    assert lost.status is CandidateStatus.REJECTED
    assert repaired.key == "c01r1"
    assert repaired.parent == "c01"
    assert repaired.parameters["keep_float_operators"] == ["Add"]
    assert repaired.status is CandidateStatus.SELECTED
    assert "Repairs c01, which lost 33.3: Add makes" in run.events["repaired/c01r1"]
    assert "fell by 33.3 points" in run.events["ranked/c01"]
    assert "c01 rolled back" in run.events["ranked/c01"]


def test_8_bits_that_a_member_asked_for_are_repaired_by_7_where_sums_saturate():
    asked = NamedLink(technique=STATIC, parameters={"reduce_range": False})
    edits = PlanEdits(pinned=((asked,),))
    world = resnet(flags=("avx2",), saturated_points=20.0)

    run = InMemoryPipeline(world, ONLY_STATIC, edits=edits).run()

    lost, repaired = chain(run)
    assert "reduce_range" not in lost.parameters
    assert lost.status is CandidateStatus.REJECTED
    assert repaired.parameters == {**lost.parameters, "reduce_range": True}
    assert repaired.status is CandidateStatus.SELECTED
    assert "Repairs c01: This processor adds 16-bit sums, which saturate" in run.events["repaired/c01r1"]


@pytest.mark.parametrize("count", [16, 50, 200])
@pytest.mark.parametrize("seed", [0, 1])
def test_bisection_finds_the_fragile_nodes_that_the_ranking_puts_first(count, seed):
    fragile = {"conv3": 4.0, "conv7": 2.0, "conv11": 3.0}
    run = InMemoryPipeline(deep(count, fragile), ONLY_STATIC, seed=seed).run()

    best = run.candidate(run.last.verdict.candidate)
    kept = best.parameters["keep_float_nodes"]
    assert set(kept) >= set(fragile)
    assert len(kept) <= len(fragile) + 0.03 * count  # no search for a last gain below three per cent
    assert best.parameters["weight_type"] == "int8"
    assert len(chain(run)) <= log2(count) + 3


def test_bisection_converges_without_any_known_sensitivity():
    """Nodes are then tried in the order of the graph; the fragile ones are its first three."""
    run = InMemoryPipeline(deep(64, {"conv0": 4.0, "conv1": 2.0, "conv2": 3.0}, ranked=False), ONLY_STATIC).run()

    best = run.candidate(run.last.verdict.candidate)
    assert {"conv0", "conv1", "conv2"} <= set(best.parameters["keep_float_nodes"])
    assert len(best.parameters["keep_float_nodes"]) <= 4
    assert len(chain(run)) <= log2(64) + 3


def test_a_repair_that_holds_is_accepted_and_the_rest_rolled_back():
    run = InMemoryPipeline(deep(50, {"conv3": 4.0, "conv7": 2.0}), ONLY_STATIC).run()

    statuses = {candidate.key: candidate.status for candidate in chain(run)}
    assert statuses["c01"] is CandidateStatus.REJECTED
    assert CandidateStatus.SELECTED in statuses.values()
    for candidate in chain(run)[1:]:
        assert candidate.parent == (f"c01r{int(candidate.key[4:]) - 1}" if candidate.key != "c01r1" else "c01")
        assert "stay in float" in candidate.reason or candidate.score is not None


def test_the_search_ends_when_nothing_is_left_to_win():
    everything = {f"conv{n}": 2.0 for n in range(20)}
    run = InMemoryPipeline(deep(20, everything), ONLY_STATIC).run()

    assert run.last.verdict.outcome is Outcome.UNCHANGED
    assert run.last.verdict.binding == "max_metric_drop_points"
    assert "it would not gain anything" in run.events["abandoned/c01"]
    assert {miss.candidate for miss in run.last.verdict.misses} >= {"c01"}


def test_too_slow_is_not_repaired():
    world = resnet(factors={**CONVOLUTION_FACTORS, (STATIC, "uint8", "int8"): 0.6})
    run = InMemoryPipeline(world, ONLY_STATIC).run()

    assert [candidate.key for candidate in chain(run)] == ["c01"]
    assert "its number types are abandoned" in run.events["abandoned/c01"]
    assert run.last.verdict.candidate == "c02"


def test_a_crash_per_channel_is_tried_once_per_tensor():
    run = InMemoryPipeline(resnet(per_channel_crashes=frozenset({STATIC})), ONLY_STATIC).run()

    failed, repaired = chain(run)
    assert failed.status is CandidateStatus.FAILED
    assert repaired.parameters["per_channel"] is False
    assert repaired.status is CandidateStatus.SELECTED
    assert run.events["failed/c01"].startswith("c01 rolled back: ")


def test_a_technique_that_cannot_keep_operators_keeps_nodes():
    world = replace(
        deep(8, {}),
        layers=tuple(
            Layer(name=f"m{n}", op_type="MatMul", parameters=1, weight_bytes=40_000, time_share=1 / 8, sqnr_db=20.0 + n)
            for n in range(8)
        ),
        size_bytes=330_000,
        fragile_nodes={"m0": 5.0},
        factors={(BLOCKS, "", "4"): 2.0, (BLOCKS, "", "8"): 1.5},
    )
    criteria = FASTEST.model_copy(update={"allowed_techniques": (BLOCKS,)})
    run = InMemoryPipeline(world, criteria).run()

    best = run.candidate(run.last.verdict.candidate)
    assert best.parameters["keep_float_nodes"] == ["m0"]
    assert DYNAMIC not in {candidate.technique for candidate in run.last.candidates}


# --- modules of PyTorch ----------------------------------------------------------------------------------------------


def test_the_modules_that_a_language_model_cannot_spare_stay_in_float():
    fragile = {"model.layers.0.mlp.down_proj": 3.0, "model.layers.0.self_attn.v_proj": 2.0}
    world = torch_language_model(fragile_nodes=fragile, losses={})
    layers = tuple(
        layer.model_copy(update={"sqnr_db": 8.0}) if layer.name in fragile else layer for layer in world.layers
    )
    criteria = Criteria(
        objective=Objective.SIZE,
        constraints=Constraints(max_metric_drop_points=0.5, min_size_reduction=1.2),
        allowed_techniques=(NEAREST,),
    )

    run = InMemoryPipeline(replace(world, layers=layers), criteria).run()

    winner = run.candidate(run.last.verdict.candidate)
    assert set(fragile) <= set(winner.parameters["keep_float_nodes"])
    assert len(winner.parameters["keep_float_nodes"]) < 12
    assert winner.parent is not None
    assert "most sensitive" in winner.title or "down_proj" in winner.title


# --- clever methods against plain rounding ---------------------------------------------------------------------------

PERPLEXITY = Criteria(
    objective=Objective.SIZE,
    constraints=Constraints(max_metric_drop_points=1.0),
    allowed_techniques=(GPTQ, "torch-awq", NEAREST),
)


def compared(run) -> dict[str, str]:
    return {
        run.candidate(key.partition("/")[2]).technique: reason
        for key, reason in run.events.items()
        if key.startswith("compared/")
    }


def test_plain_rounding_is_measured_before_what_has_to_beat_it_and_the_report_says_who_won():
    run = InMemoryPipeline(torch_language_model(), PERPLEXITY).run()

    order = [(request.technique, request.parameters["group_size"]) for request in run.tried]
    first = next(size for technique, size in order if technique == GPTQ)
    assert order.index((NEAREST, first)) < order.index((GPTQ, first))
    assert {GPTQ, "torch-awq"} <= {technique for technique, _ in order}
    said = compared(run)
    assert "It is better than plain rounding." in said[GPTQ]
    assert "It is not worse than plain rounding beyond the interval." in said["torch-awq"]
    assert run.candidate(run.last.verdict.candidate).technique == GPTQ, "of one size, the one that loses least"


def test_calibration_that_does_harm_is_said_plainly():
    world = torch_language_model(losses={(NEAREST, "4"): 0.1, (GPTQ, "4"): 0.4, ("torch-awq", "4"): 0.1})

    said = compared(InMemoryPipeline(world, PERPLEXITY).run())

    assert "It is worse than plain rounding, so its calibration does harm here." in said[GPTQ]


def test_a_method_without_plain_rounding_beside_it_is_said_to_stand_alone():
    criteria = PERPLEXITY.model_copy(update={"allowed_techniques": (GPTQ,)})

    run = InMemoryPipeline(torch_language_model(), criteria).run()

    assert "stands alone: no candidate rounded to the nearest" in compared(run)[GPTQ]
