"""The plan for PyTorch models: which methods stand beside which, what they should gain, what becomes of the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.agents.analysis.opportunities import opportunities
from apps.agents.contracts.criteria import PROFILES, CountedSize, Criteria, Device, Target
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.contracts.state import Plan, Prediction
from apps.agents.planning.agent import PlanningAgent, plan_preview
from apps.agents.planning.prediction import predict
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.profile import profile_of_analysis
from apps.agents.techniques.knowledge.torch_groups import group_that_fits
from tests.agents.inmemory import (
    AUTOAWQ,
    AWQ,
    BITSANDBYTES,
    DYNAMIC,
    EXPORT,
    GPTQ,
    HALF,
    NEAREST,
    SMOOTH,
    WEIGHT_ONLY,
    World,
    minilm,
    resnet,
)
from tests.agents.torch_worlds import torch_encoder, torch_language_model

MAGNITUDE, WANDA, SPARSE_GPT = "torch-magnitude", "torch-wanda", "torch-sparsegpt"
BALANCED, FASTEST, SMALLEST = PROFILES["balanced"], PROFILES["fastest"], PROFILES["smallest"]
HEADLESS = "the token table, which is the output head as well, stays in float: 61% of the bytes."


def plan_of(world: World, criteria: Criteria = SMALLEST, **known) -> Plan:
    exported = [world.exported.analysis] if world.exported else []
    return PlanningAgent().plan(world.analysis, criteria, world.dataset, exported=exported, **known)


def predicted(world: World, technique: str, **parameters) -> Prediction:
    spec = catalogue()[technique]
    return predict(spec, spec.resolve(parameters), profile_of_analysis(world.analysis), SMALLEST)


def of(plan: Plan, *techniques: str):
    return [candidate for candidate in plan.candidates if candidate.technique in techniques]


def omission(plan: Plan, technique: str) -> str:
    return next(one.reason for one in plan.omitted if one.technique == technique)


# --- zeros -----------------------------------------------------------------------------------------------------------


def test_zeros_are_planned_only_where_the_compressed_size_counts():
    sparse = (MAGNITUDE, WANDA, SPARSE_GPT)
    plan = plan_of(torch_encoder())
    assert not of(plan, *sparse)
    assert omission(plan, SPARSE_GPT).startswith("Predicted 1.00 times smaller")
    counting = SMALLEST.model_copy(update={"counted_size": CountedSize.COMPRESSED, "allowed_techniques": sparse})
    candidates = of(plan_of(torch_encoder(), counting), *sparse)
    assert {one.technique for one in candidates} == set(sparse)
    assert all(1.05 < one.predicted.size_ratio < 1.8 and one.predicted.speedup == 1 for one in candidates)


# --- language models -------------------------------------------------------------------------------------------------


def test_every_method_that_calibrates_has_plain_rounding_at_its_bits_and_groups_beside_it():
    plan = plan_of(torch_language_model())

    def fineness(*techniques: str) -> set[tuple[int, int]]:
        return {(one.parameters["bits"], one.parameters["group_size"]) for one in of(plan, *techniques)}

    assert fineness(AWQ, GPTQ) == {(4, 32), (4, 128)}
    assert fineness(AWQ, GPTQ) <= fineness(NEAREST)


def test_a_group_divides_every_row_of_the_model():
    def rows(*lengths: int) -> World:
        weights = tuple(TensorSpec(name=f"w{n}", dtype="float32", shape=(64, n)) for n in lengths)
        world = torch_language_model()
        return world, world.model.model_copy(update={"weights": weights})

    world, model = rows(288, 768)
    plan = plan_preview(model, world.dataset, SMALLEST)
    assert {one.parameters["group_size"] for one in of(plan, AWQ, GPTQ, NEAREST)} == {32}
    world, model = rows(250)
    assert not of(plan_preview(model, world.dataset, SMALLEST), AWQ, GPTQ, NEAREST)
    assert group_that_fits(profile_of_analysis(world.analysis), 64) == 64


def test_the_plan_says_what_becomes_of_the_token_table_and_the_output_head():
    plan = plan_of(torch_language_model())

    assert all(HEADLESS in one.reason.lower() for one in of(plan, AWQ, GPTQ, NEAREST, BITSANDBYTES, WEIGHT_ONLY))
    assert all("is narrowed with the rest" in one.reason for one in of(plan, HALF))
    apart = torch_language_model()
    language = apart.language.model_copy(update={"tied_embeddings": False})
    assert "and so does the output head" in of(plan_of(replace(apart, language=language)), GPTQ)[0].reason


@pytest.mark.parametrize(
    ("technique", "parameters", "bits"),
    [
        (GPTQ, {"group_size": 32}, 4 + 1 + 4 / 32),
        (NEAREST, {"group_size": 128, "symmetric": True}, 4 + 32 / 128),
        (AUTOAWQ, {"group_size": 128}, 4 + 20 / 128),
        (BITSANDBYTES, {"type": "nf4"}, 4.13),
        (BITSANDBYTES, {"type": "int8"}, 8.2),
        (WEIGHT_ONLY, {}, 8.2),
        (SMOOTH, {}, 8.2),
    ],
)
def test_size_follows_from_the_bits_of_the_linear_layers_alone(technique, parameters, bits):
    world = torch_language_model()
    linear = 42 * 560_000

    expected = world.size_bytes / (world.size_bytes - linear * (1 - bits / 32))
    assert predicted(world, technique, **parameters).size_ratio == pytest.approx(expected, rel=0.01)


def test_a_model_stored_in_halves_gains_half_as_much_from_four_bits():
    halves = tuple(layer.model_copy(update={"weight_bytes": layer.weight_bytes // 2}) for layer in _layers())
    world = torch_language_model(layers=halves, size_bytes=30_250_000, weight_dtypes={"bfloat16": 15_000_000})

    assert predicted(world, GPTQ).size_ratio < predicted(torch_language_model(), GPTQ).size_ratio
    assert predicted(world, HALF).size_ratio == pytest.approx(1.0)


def _layers():
    return torch_language_model().layers


def test_half_precision_halves_the_file_though_tied_weights_are_listed_twice():
    twice = tuple(
        layer.model_copy(update={"weight_bytes": 36_864_000}) if layer.name == "lm_head" else layer
        for layer in _layers()
    )
    assert predicted(torch_language_model(layers=twice), HALF).size_ratio == pytest.approx(2.0, rel=0.01)


def test_losses_are_those_that_were_measured_in_nats_told_as_perplexity():
    """Round to nearest 0.0025 nats in groups of 128, AWQ 0.0023, GPTQ 0.0007: times a perplexity of 40."""
    world = torch_language_model()
    losses = [predicted(world, name, group_size=128).metric_drop_points for name in (NEAREST, AWQ, GPTQ)]

    assert losses == pytest.approx([0.1, 0.092, 0.028], abs=0.002)
    assert predicted(world, NEAREST, group_size=32).metric_drop_points < losses[0]
    assert predicted(world, NEAREST, bits=8).metric_drop_points < 0.01
    assert "of perplexity" in of(plan_of(world), AWQ)[0].reason


def test_a_language_model_that_is_judged_by_its_answers_loses_points():
    world = torch_language_model(task=Task.MULTIPLE_CHOICE)
    candidate = of(plan_of(world), NEAREST)[0]

    assert "points" in candidate.reason
    assert "output noise of the changed operators" in candidate.predicted.basis


def test_modules_that_stay_in_float_take_their_share_of_the_loss():
    world = torch_language_model()
    kept = [f"model.layers.0.mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")]

    whole, less = predicted(world, NEAREST), predicted(world, NEAREST, keep_float_nodes=kept)
    assert less.metric_drop_points < 0.95 * whole.metric_drop_points
    assert less.size_ratio < whole.size_ratio


def test_packed_formats_gain_no_speed_on_a_cpu_and_the_plan_for_speed_says_so():
    world = torch_language_model()

    assert predicted(world, GPTQ).speedup == pytest.approx(1.0)
    assert predicted(world, BITSANDBYTES).speedup < 0.7
    assert "become floats again when they are loaded" in predicted(world, GPTQ).basis


def test_on_cuda_half_precision_is_expected_to_be_faster():
    criteria = FASTEST.model_copy(update={"target": Target(device=Device.CUDA)})

    assert HALF in {one.technique for one in plan_of(torch_language_model(), criteria).candidates}


# --- what is left out ------------------------------------------------------------------------------------------------


def test_autoawq_is_left_to_the_maintained_sibling_unless_it_is_asked_for_by_name():
    world = torch_language_model()
    asked = SMALLEST.model_copy(update={"allowed_techniques": (AUTOAWQ, AWQ, NEAREST)})

    assert "no longer maintained" in omission(plan_of(world), AUTOAWQ)
    assert of(plan_of(world, asked), AUTOAWQ)


def test_autoawq_stands_in_where_no_worker_has_llm_compressor():
    plan = plan_of(torch_language_model(), libraries=("torch", "transformers", "autoawq"))

    assert of(plan, AUTOAWQ)
    assert "No worker has safetensors and llmcompressor and compressed-tensors installed." in omission(plan, AWQ)


def test_an_encoder_gets_no_methods_for_language_models():
    assert not of(plan_of(torch_encoder()), AWQ, GPTQ, NEAREST, AUTOAWQ)


def test_techniques_of_the_other_framework_are_one_line():
    for world, other in ((resnet(), "PyTorch"), (torch_language_model(format=Format.TORCH_EXPORT), "PyTorch")):
        plan = plan_of(world)
        assert len([one for one in plan.omitted if one.technique == other]) == 1
        assert not [one for one in plan.omitted if one.technique == GPTQ]


def test_a_model_that_is_quantized_already_is_recognised_and_what_is_left_is_said():
    world = torch_language_model(
        weight_dtypes={"uint8": 2_940_000, "float32": 9_220_000}, quantization="bitsandbytes nf4"
    )

    plan = plan_of(world)
    assert plan.candidates == ()
    assert "quantized already (bitsandbytes nf4). Only the 76%" in plan.summary
    assert "including the embeddings and the output head" in plan.summary


# --- the export ------------------------------------------------------------------------------------------------------


def test_predictions_of_onnx_techniques_are_against_the_original_in_its_own_runtime():
    alone = PlanningAgent().plan(minilm().analysis, FASTEST, torch_encoder().dataset).candidates[0]
    after_export = plan_of(torch_encoder(), FASTEST).candidates[0]

    assert (alone.technique, after_export.technique) == (DYNAMIC, DYNAMIC)
    assert after_export.predicted.speedup == pytest.approx(2 * alone.predicted.speedup, rel=0.01)
    assert "the exported model itself is 2.00× as fast" in after_export.predicted.basis


def test_the_export_itself_is_predicted_by_what_both_analyses_measured():
    export = of(plan_of(torch_encoder(), FASTEST), EXPORT)[0]

    assert export.predicted.speedup == pytest.approx(2.0)
    assert "21.8 ms before the export and 10.9 ms after it" in export.predicted.basis


@pytest.mark.parametrize(
    ("latency_ms", "said"),
    [
        (10.9, "deploy it on ONNX Runtime, which is 2.00× as fast."),
        (43.6, "deploy it on PyTorch, which is 2.00× as fast."),
        (21.5, "both are equally fast."),
    ],
)
def test_the_summary_names_the_runtime_to_deploy_on(latency_ms, said):
    world = torch_encoder(exported=minilm(latency_ms=latency_ms))

    assert said in plan_of(world, FASTEST).summary


def test_a_limit_on_latency_is_held_against_the_original_s_latency():
    criteria = Criteria.model_validate(
        FASTEST.model_dump() | {"constraints": {"max_latency_ms": 5.0, "max_metric_drop_points": 1.0}}
    )
    plan = plan_of(torch_encoder(), criteria)

    assert of(plan, DYNAMIC), "21.8 ms in PyTorch and about 5 in int8"
    assert omission(plan, WEIGHT_ONLY) == "Predicted at 24 ms, but at most 5 ms is allowed."


def test_the_preview_counts_on_the_export_and_leaves_onnx_techniques_to_the_plan():
    world = torch_encoder()
    plan = plan_preview(world.model, world.dataset, BALANCED)

    assert of(plan, EXPORT)
    assert not [one for one in (*plan.candidates, *plan.omitted) if one.technique in ("ONNX", DYNAMIC)]
    assert "ONNX techniques are weighed as well, as soon as the exported model is analysed." in plan.summary


def test_the_preview_knows_a_token_table_from_the_linear_layers():
    world = torch_language_model()
    model: ModelSummary = world.model

    plan = plan_preview(model, world.dataset, SMALLEST)
    after = of(plan_of(world), GPTQ)[0].predicted.size_ratio
    assert of(plan, GPTQ)[0].predicted.size_ratio == pytest.approx(after, rel=0.05)


def test_an_analysis_of_a_pytorch_model_hopes_for_what_takes_its_format():
    report = torch_language_model().analysis
    found = {one.technique for one in opportunities(report, SMALLEST)}

    assert {GPTQ, HALF, BITSANDBYTES, EXPORT} <= found
    assert all(name == EXPORT or name.startswith("torch-") for name in found)


# --- narrower encoders -----------------------------------------------------------------------------------------------

WIDTH, RECOVER = "torch-prune-width", "torch-recover"


def test_an_encoder_is_narrowed_alone_and_before_the_best_quantization():
    plan = plan_of(torch_encoder(), FASTEST)
    chains = [[link.technique for link in one.steps] for one in plan.candidates if one.steps[0].technique == WIDTH]
    assert [WIDTH] in chains
    assert any(len(chain) > 1 and catalogue()[chain[-1]].family == "quantization" for chain in chains)
    assert all(one.steps[0].parameters["what"] == "feed-forward" for one in plan.candidates if one.technique == WIDTH)


def test_with_texts_to_train_on_a_narrowed_encoder_is_trained_again():
    world = torch_encoder()
    dataset = world.dataset.model_copy(update={"training_examples": 800})
    plan = PlanningAgent().plan(world.analysis, FASTEST, dataset)
    chains = [[link.technique for link in one.steps] for one in plan.candidates]
    assert [WIDTH, RECOVER] in [chain[:2] for chain in chains]
    trained = [link for one in plan.candidates for link in one.steps if link.technique == RECOVER]
    assert {link.parameters["learning_rate"] for link in trained} == {1e-4}
    assert any("MiniLM" in one.predicted.basis for one in plan.candidates if one.steps[0].technique == WIDTH)


def test_a_report_names_narrowing_among_the_opportunities():
    found = opportunities(torch_encoder().analysis, FASTEST, catalogue())
    assert any("of the feed-forward features removed" in one.title for one in found)


def test_a_language_model_is_not_narrowed_unless_someone_asks_for_it():
    assert not of(plan_of(torch_language_model()), WIDTH)
