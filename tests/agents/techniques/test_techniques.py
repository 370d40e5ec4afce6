"""The catalogue: every spec is sound, every parameter is checked, every implementation exists."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from apps.agents.techniques.base import BaseOptimizationAgent, QuantizationAgent, agent_for
from apps.agents.techniques.catalogue import BUILTIN, Family, TechniqueSpec, missing_libraries

PAGE = Path(__file__).resolve().parents[3] / "docs" / "techniques.md"
STATIC = next(spec for spec in BUILTIN if spec.name == "onnx-static-int8")


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
def test_every_technique_has_a_sound_spec_an_implementation_and_a_paragraph(spec: TechniqueSpec):
    first = [parameter for parameter in spec.parameters if not parameter.added_later]
    assert spec.resolve({}) == {parameter.name: parameter.default for parameter in first}
    for parameter in spec.parameters:
        for value in (*parameter.search, *parameter.choices, parameter.default):
            spec.resolve({parameter.name: value})
    assert f"(`{spec.name}`)" in PAGE.read_text()
    if "tensorflow" in spec.requires:
        return  # Its module stands in tests/tensorflow: PyTorch is in this process.
    agent = agent_for(spec)
    assert isinstance(agent, BaseOptimizationAgent)
    assert isinstance(agent, QuantizationAgent) == (spec.family is Family.QUANTIZATION)
    assert type(agent).__doc__
    assert import_module(spec.implementation.partition(":")[0]).__doc__


def test_names_and_parameters_are_unique():
    assert len({spec.name for spec in BUILTIN}) == len(BUILTIN)
    for spec in BUILTIN:
        assert len({parameter.name for parameter in spec.parameters}) == len(spec.parameters)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("speed", 1, "does not have a parameter 'speed'; it has activation_type"),
        ("activation_type", "int7", "must be one of 'uint8', 'int8'"),
        ("per_channel", 1, "must be true or false"),
        ("calibration_examples", 0, "must lie between 1.0 and 4096.0"),
        ("calibration_examples", 5000, "must lie between 1.0 and 4096.0"),
        ("calibration_examples", 2.5, "must be a whole number"),
        ("calibration_examples", True, "must be a whole number"),
        ("operators", "MatMul", "must be a list of names"),
        ("operators", [1], "must be a list of names"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_right(name: str, value: object, words: str):
    with pytest.raises(ValueError, match=words):
        STATIC.resolve({name: value})


def test_what_is_given_wins_over_the_default():
    assert STATIC.resolve({"calibration": "entropy"})["calibration"] == "entropy"


def test_missing_libraries_are_named_whatever_way_they_are_spelled():
    assert missing_libraries(STATIC, ["ONNX"]) == ("onnxruntime",)
    assert missing_libraries(STATIC.model_copy(update={"requires": ("torch-pruning",)}), ["torch_pruning"]) == ()


def test_a_parameter_that_was_added_later_is_left_out_at_its_default():
    assert "reduce_range" not in STATIC.resolve({})
    assert STATIC.resolve({"reduce_range": False}) == STATIC.resolve({})
    assert STATIC.resolve({"reduce_range": True}) == {**STATIC.resolve({}), "reduce_range": True}
