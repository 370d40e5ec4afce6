"""Which techniques make the same artifact again."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.repeatable import is_repeatable


@pytest.mark.parametrize(
    ("technique", "parameters", "repeatable"),
    [
        ("onnx-dynamic-int8", {}, True),
        ("torch-recover", {}, False),
        ("torch-recover", {"minutes": 5.0}, False),
        ("torch-recover", {"minutes": 5.0, "steps": 40}, True),
        ("torch-recover", {"steps": 40, "threads": 4}, True),
        ("torch-recover", {"steps": 40, "threads": 0}, False),
        ("torch-search", {"steps": 40, "final_steps": 20, "round_to": 8}, False),
        ("torch-search", {"steps": 40, "round_to": 8, "network": ["width:stem=8"]}, False),
        ("torch-search", {"steps": 40, "final_steps": 20, "network": ["width:stem=8"]}, False),
        ("torch-search", {"steps": 40, "final_steps": 20, "round_to": 8, "network": ["width:stem=8"]}, True),
        ("onnx-prune", {}, True),
        ("onnx-prune", {"speedup_wanted": 1.5}, False),
    ],
)
def test_what_time_decides_is_not_repeatable(technique: str, parameters: dict[str, Any], repeatable: bool) -> None:
    assert is_repeatable(catalogue()[technique], parameters) is repeatable


def test_a_spec_can_say_that_it_is_not() -> None:
    spec = catalogue()["onnx-dynamic-int8"].model_copy(update={"repeatable": False})
    assert not is_repeatable(spec, {})


@pytest.mark.parametrize(
    ("technique", "depends"),
    [("onnx-export", False), ("onnx-float16", False), ("onnx-static-int8", True), ("torch-recover", True)],
)
def test_the_seed_decides_what_is_made_from_examples(technique: str, depends: bool) -> None:
    assert catalogue()[technique].depends_on_seed is depends


def test_parameters_that_the_technique_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="does not have a parameter 'bits'"):
        is_repeatable(catalogue()["onnx-dynamic-int8"], {"bits": 3})
