"""The plan argues: number types by predicted gain, risk and cost, and a reason for everything left out."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest

from apps.agents.contracts.criteria import PROFILES, Constraints, Criteria, Objective, Target
from apps.agents.contracts.job import Job
from apps.agents.contracts.reports.analysis import Compatibility, Layer
from apps.agents.contracts.state import Plan, Prediction
from apps.agents.handlers import plan as plan_handler
from apps.agents.planning.agent import PlanningAgent, plan_preview
from apps.agents.planning.prediction import predict
from apps.agents.sandbox.child import JobContext
from apps.agents.techniques.catalogue import Expectation, Family, Risk, TechniqueSpec, catalogue
from apps.agents.techniques.knowledge.profile import profile_of_analysis
from tests.agents.inmemory import (
    BLOCKS,
    DATASET,
    DECOMPOSE,
    DYNAMIC,
    FLOAT16,
    GRAPH,
    PRUNE,
    STATIC,
    World,
    minilm,
    resnet,
)

FASTEST, SMALLEST, BALANCED = PROFILES["fastest"], PROFILES["smallest"], PROFILES["balanced"]


def plan_of(world: World, criteria: Criteria, **known) -> Plan:
    return PlanningAgent().plan(world.analysis, criteria, DATASET, **known)


def static_types(plan: Plan) -> list[tuple[str, str]]:
    """The number types of the candidates that are static int8 and nothing more."""
    return [
        (candidate.parameters["activation_type"], candidate.parameters["weight_type"])
        for candidate in plan.candidates
        if candidate.technique == STATIC and not {PRUNE, DECOMPOSE} & {link.technique for link in candidate.steps}
    ]


def omission(plan: Plan, technique: str, words: str = "") -> str:
    return next(o.reason for o in plan.omitted if o.technique == technique and words in f"{o.title} {o.reason}")


def test_convolutions_on_vnni_start_with_unsigned_activations_and_signed_weights():
    plan = plan_of(resnet(), FASTEST)

    assert static_types(plan) == [("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8")]
    first = plan.candidates[0]
    assert first.key == "c01"
    assert first.predicted.speedup == pytest.approx(4.2, abs=0.1)
    assert first.predicted.size_ratio == pytest.approx(3.8, abs=0.15)
    assert first.parameters["per_channel"] is True
    assert "x86 with VNNI" in first.predicted.basis


@pytest.mark.parametrize(
    ("technique", "parameters", "speedup"),
    [
        (STATIC, {"activation_type": "int8"}, 1.15),
        (STATIC, {"weight_type": "uint8"}, 1.8),
        (STATIC, {"activation_type": "uint16"}, 0.6),
        (DYNAMIC, {"weight_type": "uint8"}, 0.95),
        (DYNAMIC, {"weight_type": "int8"}, 0.2),
        (FLOAT16, {}, 1.0),
    ],
)
def test_predictions_for_a_residual_network_lie_near_what_was_measured(technique, parameters, speedup):
    assert predicted(resnet(), technique, parameters).speedup == pytest.approx(speedup, rel=0.06)


@pytest.mark.parametrize(
    ("technique", "parameters", "speedup", "size_ratio"),
    [
        (DYNAMIC, {}, 2.1, 91 / 22.8),
        (STATIC, {"operators": ["MatMul", "Gemm"]}, 2.0, 91 / 58.6),
        (STATIC, {"operators": ["MatMul", "Gemm", "Gather"]}, 1.95, 91 / 22.9),
        (BLOCKS, {"bits": 4}, 1.2, 91 / 55.1),
        (BLOCKS, {"bits": 4, "embeddings": True}, 1.2, 91 / 15.2),
        (BLOCKS, {"bits": 8}, 1.3, 91 / 60.7),
        (FLOAT16, {}, 0.95, 91 / 45.2),
    ],
)
def test_predictions_for_a_transformer_lie_near_what_was_measured(technique, parameters, speedup, size_ratio):
    prediction = predicted(minilm(), technique, parameters)

    assert prediction.speedup == pytest.approx(speedup, rel=0.06)
    assert prediction.size_ratio == pytest.approx(size_ratio, rel=0.08)


def predicted(world: World, technique: str, parameters: dict[str, object]) -> Prediction:
    spec = catalogue()[technique]
    return predict(spec, spec.resolve(parameters), profile_of_analysis(world.analysis), FASTEST)


def test_without_vnni_less_is_predicted():
    plan = plan_of(resnet(flags=("avx2",)), FASTEST)

    assert plan.candidates[0].predicted.speedup < 2
    assert "x86 without VNNI" in plan.candidates[0].predicted.basis


def test_without_vnni_weights_of_int8_use_7_bits_and_the_reason_says_why():
    plan = plan_of(resnet(flags=("avx2",)), FASTEST)

    static = [
        one for one in plan.candidates if one.technique == STATIC and PRUNE not in {s.technique for s in one.steps}
    ]
    assert {one.parameters["weight_type"]: one.parameters.get("reduce_range") for one in static} == {
        "int8": True,
        "uint8": None,
    }
    assert static[0].parameters["activation_type"] == "uint8"
    assert "weights int8 in 7 bits" in static[0].title
    assert "This processor adds 16-bit sums, which saturate; weights use 7 bits." in static[0].reason
    chained = [one for one in plan.candidates if one.technique == STATIC and one not in static]
    assert all(one.parameters.get("reduce_range") for one in chained if one.parameters["weight_type"] == "int8")


@pytest.mark.parametrize(
    ("flags", "device"), [(("avx2", "avx512_vnni"), "cpu"), (("asimddp",), "cpu"), (("avx2",), "cuda")]
)
def test_elsewhere_no_candidate_has_the_parameter(flags: tuple[str, ...], device: str):
    criteria = FASTEST.model_copy(update={"target": Target(device=device)})

    plan = plan_of(resnet(flags=flags), criteria)

    assert not [one for one in plan.candidates for link in one.steps if "reduce_range" in link.parameters]
    assert "7 bits" not in " ".join(one.reason for one in plan.candidates)


@pytest.mark.parametrize(("technique", "types"), [(STATIC, {}), (STATIC, {"activation_type": "int8"}), (DYNAMIC, {})])
def test_8_bits_are_predicted_to_lose_more_where_sums_saturate(technique: str, types: dict[str, str]):
    plain, vnni = resnet(flags=("avx2",)), resnet()

    wide, narrow = (predicted(plain, technique, {**types, "reduce_range": seven}) for seven in (False, True))

    assert "sums of 16 bits saturate" in wide.basis
    assert wide.metric_drop_points > narrow.metric_drop_points
    assert (wide.metric_drop_high or 0) > 10
    for harmless in (narrow, predicted(vnni, technique, types), predicted(plain, technique, {"weight_type": "uint8"})):
        assert "saturate" not in harmless.basis


def test_one_bit_less_makes_four_times_the_noise_of_the_weights():
    static, dynamic = (catalogue()[name].knowledge for name in (STATIC, DYNAMIC))

    def factor(known, **parameters) -> float:
        return known.noise_scale({**parameters, "reduce_range": True}) / known.noise_scale(parameters)

    assert factor(static) == pytest.approx(1.4, abs=0.1)
    assert factor(static) < factor(static, per_channel=False) < factor(dynamic) < factor(dynamic, per_channel=False) < 4


def test_dynamic_quantization_of_convolutions_is_left_out_for_its_speed():
    reason = omission(plan_of(resnet(), BALANCED), DYNAMIC, "weights int8; per channel Predicted")

    assert reason == "Predicted to be slower (0.20×) on this machine and graph."


def test_a_transformer_starts_with_dynamic_int8_per_channel_and_quantizes_only_products_statically():
    plan = plan_of(minilm(), FASTEST)

    assert plan.candidates[0].technique == DYNAMIC
    assert plan.candidates[0].parameters["per_channel"] is True
    static = [candidate for candidate in plan.candidates if candidate.technique == STATIC]
    assert all(set(candidate.parameters["operators"]) <= {"MatMul", "Gemm", "Gather"} for candidate in static)
    assert {candidate.technique for candidate in plan.candidates} >= {DYNAMIC, STATIC, BLOCKS, GRAPH}


def test_the_static_variant_of_every_operator_is_left_out_for_its_predicted_collapse():
    reason = omission(plan_of(minilm(), FASTEST), STATIC, "every operator")

    assert "Predicted to lose about" in reason
    assert "Add (0.3 dB) and Softmax (0.6 dB)" in reason


def test_the_collapse_is_predicted_from_what_is_known_of_attention_when_nothing_was_measured():
    unknown = tuple(layer.model_copy(update={"sqnr_db": None}) for layer in minilm().layers)

    reason = omission(plan_of(minilm(layers=unknown, sensitivity={}), FASTEST), STATIC, "every operator")

    assert "known of such networks" in reason


def test_fragile_operators_stay_in_float_in_a_convolutional_network():
    plan = plan_of(resnet(sensitivity={"Conv": 24.0, "Add": 3.0}), FASTEST)

    assert plan.candidates[0].parameters["keep_float_operators"] == ["Add"]
    assert "Add stay in float, below 10 dB" in plan.candidates[0].reason
    assert "Add (3.0 dB)" in omission(plan, STATIC, "every operator")


def test_a_collapse_that_few_layers_explain_is_avoided_by_keeping_them_in_float():
    world = resnet(sensitivity={"Conv": -1.0})
    layers = tuple(
        layer.model_copy(update={"sqnr_db": -1.0 if n == 3 else 35.0})
        for n, layer in enumerate(layer for layer in world.layers if layer.op_type == "Conv")
    )

    plan = plan_of(replace(world, layers=layers), FASTEST)

    assert plan.candidates[0].technique == STATIC
    assert plan.candidates[0].parameters["keep_float_nodes"] == [layers[3].name]
    assert "the 1 most sensitive node stays in float, without which" in plan.candidates[0].reason
    assert "Predicted to lose about" in omission(plan, STATIC, "activations uint8, weights int8; every operator")


def test_a_collapse_that_every_layer_shares_is_left_out():
    layers = tuple(layer.model_copy(update={"sqnr_db": 8.0}) for layer in resnet().layers if layer.op_type == "Conv")

    plan = plan_of(replace(resnet(sensitivity={"Conv": -1.0}), layers=layers), FASTEST)

    assert STATIC not in {candidate.technique for candidate in plan.candidates}


def test_a_single_operator_that_breaks_alone_makes_its_type_fragile():
    """As in magika: an `Add` before a norm's square root gives infinity when rounded alone, and not with the others."""
    broken = Layer(name="norm", op_type="Add", parameters=0, weight_bytes=0, sqnr_db=-140.0)
    world = resnet(sensitivity={"Conv": 24.0, "Add": 26.0})

    plan = plan_of(replace(world, layers=(*world.layers, broken)), FASTEST)

    assert plan.candidates[0].parameters["keep_float_operators"] == ["Add"]


def test_dynamic_quantization_is_predicted_to_lose_less_than_static():
    """On MiniLM products lost 2 points with ranges measured beforehand, and none with ranges taken while running."""
    static = predicted(minilm(), STATIC, {"operators": ["MatMul", "Gemm"]})
    dynamic = predicted(minilm(), DYNAMIC, {})
    coarse = predicted(minilm(), DYNAMIC, {"per_channel": False})

    assert dynamic.metric_drop_points < 0.1 * static.metric_drop_points
    assert dynamic.metric_drop_points < coarse.metric_drop_points < static.metric_drop_points


def test_depthwise_convolutions_gain_less():
    depthwise = tuple(
        layer.model_copy(update={"depthwise": n % 2 == 0, "time_share": 0.045})
        for n, layer in enumerate(resnet().layers)
    )

    assert plan_of(resnet(layers=depthwise), FASTEST).candidates[0].predicted.speedup < 3


def test_two_number_types_are_planned_even_where_no_gain_is_predicted():
    """Nothing but depthwise convolutions without VNNI: the rules see no gain, measuring may."""
    layers = (Layer(name="d", op_type="Conv", parameters=9, weight_bytes=36, time_share=1.0, depthwise=True),)
    world = replace(resnet(flags=("avx2",)), layers=layers, sensitivity={})

    plan = plan_of(world, BALANCED)

    doubtful = [candidate for candidate in plan.candidates if "chosen by measuring" in candidate.reason]
    assert len({str(candidate.parameters) for candidate in doubtful}) == 2


def test_a_variant_that_leaves_the_convolutions_alone_does_not_count_as_a_choice_of_types():
    """Its gain is nothing by construction; what 8 bits do to the convolutions is to be measured all the same."""
    depthwise = Layer(name="d", op_type="Conv", parameters=9, weight_bytes=36, time_share=0.97, depthwise=True)
    head = Layer(name="head", op_type="Gemm", parameters=9, weight_bytes=36, time_share=0.03)

    plan = plan_of(replace(resnet(), layers=(depthwise, head), sensitivity={}), FASTEST)

    assert ("uint8", "int8") in static_types(plan)


def test_the_smallest_file_leads_where_size_is_the_objective():
    plan = plan_of(minilm(), SMALLEST)

    assert plan.candidates[0].technique == BLOCKS
    assert plan.candidates[0].parameters["embeddings"] is True


def test_speed_decides_between_candidates_of_one_size():
    assert static_types(plan_of(resnet(), SMALLEST))[0] == ("uint8", "int8")


def test_what_the_member_forbids_is_left_out_and_named():
    criteria = FASTEST.model_copy(update={"forbidden_techniques": (STATIC,)})

    plan = plan_of(resnet(), criteria)

    assert STATIC not in {candidate.technique for candidate in plan.candidates}
    assert omission(plan, STATIC) == "The criteria do not allow it."


def test_what_operators_switched_off_or_no_worker_has_is_left_out_and_named():
    plan = plan_of(resnet(), FASTEST, disabled=(STATIC,), libraries=("onnx",))

    assert plan.candidates == ()
    assert omission(plan, STATIC) == "It is switched off on this installation."
    assert "onnxruntime" in omission(plan, DYNAMIC)
    assert "the original stands" in plan.summary


def test_what_the_analysis_finds_incompatible_is_left_out_for_its_reason():
    analysis = resnet().analysis
    unfit = (Compatibility(technique=STATIC, compatible=False, reason="The graph has loops."),)
    analysis = analysis.model_copy(update={"compatibility": unfit})

    plan = PlanningAgent().plan(analysis, FASTEST, DATASET)

    assert omission(plan, STATIC) == "The graph has loops."


def test_a_model_that_is_quantized_already_is_not_quantized_again():
    analysis = resnet().analysis
    model = analysis.model.model_copy(update={"weight_dtypes": {"int8": 99, "float32": 1}})

    plan = PlanningAgent().plan(analysis.model_copy(update={"model": model}), FASTEST, DATASET)

    assert [candidate.technique for candidate in plan.candidates] == [GRAPH]


def test_what_another_tool_has_quantized_is_said_in_the_plan():
    analysis = resnet().analysis
    changes = {"weight_dtypes": {"int8": 99, "float32": 1}, "quantization": "static: 9 QLinearConv"}
    model = analysis.model.model_copy(update=changes)

    plan = PlanningAgent().plan(analysis.model_copy(update={"model": model}), FASTEST, DATASET)

    assert "quantized already (static: 9 QLinearConv). Only the 1%" in plan.summary
    assert [candidate.technique for candidate in plan.candidates] == [GRAPH]


def test_half_precision_is_predicted_to_shrink_half_as_much():
    whole = resnet().model
    halves = whole.model_copy(update={"weight_dtypes": {"float16": 99}})

    shrunk = [plan_preview(model, DATASET, SMALLEST).candidates[0].predicted.size_ratio for model in (whole, halves)]

    assert shrunk[0] > 3
    assert shrunk[1] == pytest.approx(shrunk[0] / 2, rel=0.1)


def test_a_limit_that_no_surprise_could_reach_leaves_a_candidate_out():
    criteria = Criteria(objective=Objective.LATENCY, constraints=Constraints(min_speedup=3.0))

    plan = plan_of(resnet(), criteria)

    assert static_types(plan) == [("uint8", "int8")]
    assert "at least 3× is required" in omission(plan, STATIC, "int8, weights int8")


def test_a_technique_of_another_package_is_planned_by_its_expectation():
    spec = TechniqueSpec(
        name="acme-shrink",
        family=Family.COMPRESSION,
        label="Acme shrink",
        summary="Shrinks.",
        formats=("onnx",),
        output_format="onnx",
        requires=(),
        expectation=Expectation(size_ratio=2.0, speedup=9.0, metric_drop_points=0.1, risk=Risk.LOW),
        reference="https://example.org",
        implementation="acme.shrink:Shrink",
    )

    plan = PlanningAgent({**catalogue(), "acme-shrink": spec}).plan(resnet().analysis, FASTEST, DATASET)

    assert plan.candidates[0].technique == "acme-shrink"
    assert plan.candidates[0].predicted.speedup == 9.0


@pytest.mark.parametrize("world", [resnet(), minilm()])
def test_the_preview_names_the_same_first_candidate_before_anything_ran(world):
    preview = plan_preview(world.model, DATASET, FASTEST, ("onnx", "onnxruntime"))
    plan = plan_of(world, FASTEST)

    assert preview.candidates[0].technique == plan.candidates[0].technique
    assert "not known before the analysis" in preview.summary
    assert "guessed from operator counts" in preview.candidates[0].predicted.basis


def test_a_preview_of_an_empty_or_unknown_graph_plans_without_numbers_that_fail():
    empty = resnet().model.model_copy(update={"operators": {}, "size_bytes": 0, "parameters": 0})
    odd = resnet().model.model_copy(update={"operators": {"Acme": 3}})

    for model in (empty, odd):
        assert {candidate.technique for candidate in plan_preview(model, DATASET, FASTEST, ()).candidates} <= {GRAPH}


def test_on_cuda_float16_is_expected_to_be_faster():
    criteria = FASTEST.model_copy(update={"target": Target(device="cuda")})

    plan = plan_of(minilm(), criteria)

    assert plan.candidates[0].technique == FLOAT16


def test_the_plan_survives_the_way_through_json():
    plan = plan_of(minilm(), FASTEST)

    assert Plan.model_validate(plan.model_dump(mode="json")).model_dump(mode="json") == plan.model_dump(mode="json")


def test_the_plan_job_reads_its_arguments_and_answers_with_a_plan(tmp_path):
    job = Job(
        handler="apps.agents.handlers.plan:run",
        scratch=tmp_path,
        arguments={
            "analysis": resnet().analysis.model_dump(mode="json"),
            "criteria": FASTEST.model_dump(mode="json"),
            "dataset": DATASET.model_dump(mode="json"),
            "disabled_techniques": [DYNAMIC],
        },
    )

    plan = Plan.model_validate(plan_handler.run(JobContext(job, StringIO())).body)

    assert static_types(plan)[0] == ("uint8", "int8")
    assert omission(plan, DYNAMIC) == "It is switched off on this installation."


# --- sentences come from what the model has ---------------------------------------------------------------------------


def layered(*operators: str) -> tuple[Layer, ...]:
    """Operators in the order of the graph; one in brackets has no weights of its own."""
    return tuple(
        Layer(
            name=f"{op_type}{place}",
            op_type=op_type.strip("()"),
            parameters=0 if op_type.startswith("(") else 10_000,
            weight_bytes=0 if op_type.startswith("(") else 40_000,
            time_share=1 / len(operators),
        )
        for place, op_type in enumerate(operators)
    )


def model_with(*operators: str, **changes: object) -> World:
    layers = layered(*operators)
    sensitivity = dict.fromkeys({layer.op_type for layer in layers}, 20.0)
    size = sum(layer.weight_bytes for layer in layers) + 1000
    return resnet(**{"layers": layers, "size_bytes": size, "sensitivity": sensitivity, **changes})


KINDS_OF_MODELS = {
    # As scikit-learn's converter writes its perceptron.
    "perceptron": (("MatMul", "(Add)", "(Relu)", "MatMul", "(Add)", "(Softmax)"), "matrix products"),
    "gated": (("Gemm", "(Softmax)", "(Mul)", "Gemm"), "matrix products"),
    "convolutions": (("Conv", "(Relu)", "Conv", "(GlobalAveragePool)", "Gemm", "(Softmax)"), "convolutions take"),
    "attention": (("MatMul", "MatMul", "(MatMul)", "(Softmax)", "(MatMul)", "MatMul"), "in an attention network"),
    "trees": (("(TreeEnsembleClassifier)", "(Cast)"), "TreeEnsembleClassifier 50%"),
}
CLAIMS = {
    "attention": {"attention"},
    "convolution": {"convolutions"},
    "matrix product": {"perceptron", "gated", "convolutions", "attention"},
    "norms": set(),
    "mask": set(),
    "embedding": set(),
}
"""What sentences may speak of, and the models that have it."""


@pytest.mark.parametrize("name", KINDS_OF_MODELS)
@pytest.mark.parametrize("criteria", [FASTEST, SMALLEST], ids=["fastest", "smallest"])
def test_sentences_speak_of_what_the_model_has(name: str, criteria: Criteria):
    operators, said = KINDS_OF_MODELS[name]
    plan = plan_of(model_with(*operators), criteria)
    reasons = [f"{one.title}. {one.reason} {one.predicted.basis}" for one in plan.candidates]
    text = " ".join([plan.summary, *reasons, *(f"{one.title}. {one.reason}" for one in plan.omitted)])
    assert said in text
    for claim, owners in CLAIMS.items():
        assert name in owners or claim not in text, claim


def test_of_an_attention_network_only_the_operators_that_it_has_are_named():
    plan = plan_of(model_with(*KINDS_OF_MODELS["attention"][0]), FASTEST)
    text = " ".join(one.reason for one in plan.candidates)

    assert "Only the matrix products in 8 bits: Softmax loses too much" in text


# --- a loss that nobody has measured the like of ----------------------------------------------------------------------


def test_a_recogniser_of_texts_may_lose_far_more_than_the_rule_of_thumb_says():
    """Convolutions and an LSTM: dynamic ranges were measured on the matrix products of attention networks alone."""
    world = model_with("Conv", "(Relu)", "Conv", "LSTM", "Gemm", sensitivity={"Conv": 18.0, "Gemm": 22.0})
    prediction = predicted(world, DYNAMIC, {"weight_type": "uint8"})

    assert prediction.metric_drop_points < 0.1
    assert (prediction.metric_drop_high or 0) > 9.3
    assert prediction.risk == Risk.MEDIUM
    told = " ".join(one.reason for one in plan_of(world, SMALLEST).candidates if one.technique == DYNAMIC)
    assert "because nothing similar was measured" in told


@pytest.mark.parametrize(
    ("world", "technique", "parameters"),
    [
        (minilm(), DYNAMIC, {}),
        (model_with("Conv", "(Relu)", "Gemm"), STATIC, {}),
        (model_with("Conv", "LSTM", "Gemm"), FLOAT16, {}),
        (model_with("MatMul", "(Relu)", "MatMul"), BLOCKS, {"bits": 8}),
    ],
    ids=["measured on the like", "measured on itself", "halves", "8-bit blocks"],
)
def test_where_the_like_was_measured_a_loss_is_one_number(world: World, technique: str, parameters: dict[str, object]):
    assert predicted(world, technique, parameters).metric_drop_high is None


def test_an_operator_whose_sensitivity_is_unknown_widens_what_calibration_loses():
    unknown = model_with("Conv", "Gemm", sensitivity={"Conv": 30.0})

    assert predicted(model_with("Conv", "Gemm"), STATIC, {}).metric_drop_high is None
    assert (predicted(unknown, STATIC, {}).metric_drop_high or 0) > 5
