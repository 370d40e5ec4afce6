"""The grid that parameters span by the values they say a search should try, and what its variants are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from apps.agents.planning.chains import application_of
from apps.agents.techniques.catalogue import BUILTIN, Expectation, Family, ParameterSpec, Risk, TechniqueSpec
from apps.agents.techniques.knowledge.grid import MOST_VARIANTS
from apps.agents.techniques.knowledge.profile import profile_of_analysis
from apps.agents.techniques.knowledge.variant import Variant
from apps.agents.techniques.variants import variants_of
from tests.agents.inmemory import resnet

PROFILE = profile_of_analysis(resnet().analysis)


def named(spec: TechniqueSpec, parameters: Mapping[str, Any]) -> str:
    """The title of a candidate whose last link this is."""
    return application_of(spec, parameters).named


def spec_with(*parameters: ParameterSpec) -> TechniqueSpec:
    return TechniqueSpec(
        name="acme-shrink",
        family=Family.COMPRESSION,
        label="Acme shrink",
        summary="Shrinks.",
        formats=("onnx",),
        output_format="onnx",
        requires=(),
        parameters=parameters,
        expectation=Expectation(size_ratio=2.0, speedup=1.0, metric_drop_points=0.1, risk=Risk.LOW),
        reference="https://example.org",
        implementation="acme.shrink:Shrink",
    )


def number(name: str, default: float, *search: float) -> ParameterSpec:
    return ParameterSpec(name=name, kind="number", default=default, search=search, help=name)


def grid(*parameters: ParameterSpec) -> list[dict[str, Any]]:
    return [dict(variant.parameters) for variant in variants_of(spec_with(*parameters), PROFILE)]


def test_a_technique_without_values_to_search_has_one_variant():
    assert grid() == [{}]
    assert grid(number("share", 0.5)) == [{}]


def test_every_combination_is_walked_and_the_defaults_come_first():
    assert grid(number("share", 0.5, 0.3, 0.5), number("rate", 1, 1, 2), number("left", 7)) == [
        {"share": 0.5, "rate": 1},
        {"share": 0.5, "rate": 2},
        {"share": 0.3, "rate": 1},
        {"share": 0.3, "rate": 2},
    ]


def test_a_default_that_is_not_to_be_searched_is_not_tried():
    assert grid(number("share", 0.1, 0.3, 0.5)) == [{"share": 0.3}, {"share": 0.5}]


def test_a_large_grid_is_walked_along_one_parameter_at_a_time():
    parameters = [number(name, 0, *range(5)) for name in "abc"]
    found = grid(*parameters)
    assert len(found) == 1 + 3 * 4
    assert len(found) <= MOST_VARIANTS + 1
    assert all(sum(value != 0 for value in variant.values()) <= 1 for variant in found)


def test_variants_are_told_apart_by_what_is_searched():
    parameters = (
        number("share", 0.5, 0.3, 0.5),
        ParameterSpec(name="zero_point", kind="boolean", default=True, search=(True, False), help="-"),
        ParameterSpec(name="per_channel", kind="boolean", default=True, search=(True, False), help="-"),
        ParameterSpec(name="keep_float_nodes", kind="names", default=(), help="-"),
        number("left", 7),
    )
    spec = spec_with(*parameters)
    titles = [named(spec, spec.resolve(variant.parameters)) for variant in variants_of(spec, PROFILE)]
    assert len(set(titles)) == len(titles) == 8
    assert titles[0] == "Acme shrink: share 0.5; zero point; per channel"
    assert titles[-1] == "Acme shrink: share 0.3; no zero point; per tensor"
    kept = spec.resolve({"keep_float_nodes": ["gemm"]})
    assert named(spec, kept).endswith("per channel; gemm in float")


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
def test_every_variant_of_a_built_in_technique_has_sound_parameters_and_a_title_of_its_own(spec: TechniqueSpec):
    variants: list[Variant] = list(variants_of(spec, PROFILE))
    titles = [named(spec, spec.resolve(variant.parameters)) for variant in variants]
    assert len(set(titles)) == len(titles)
    assert all(variant.reason.endswith(".") for variant in variants)


def test_what_prepares_supersedes_or_is_to_be_beaten_is_in_the_catalogue():
    names = {spec.name for spec in BUILTIN}
    for known in (spec.knowledge for spec in BUILTIN):
        named = {
            known.prepared_by,
            known.superseded and known.superseded.by,
            known.baseline and known.baseline.technique,
        }
        assert named - {None} <= names
