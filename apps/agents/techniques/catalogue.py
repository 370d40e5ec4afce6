"""The catalogue of techniques: Lathe's own and those that installed packages add.

A package outside this repository adds a technique by an entry point in the group `lathe.techniques` that resolves to a
`TechniqueSpec` (docs/add-a-technique.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata

from apps.agents.techniques.litert import LITERT_TECHNIQUES
from apps.agents.techniques.onnx import ONNX_TECHNIQUES
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec
from apps.agents.techniques.tensorflow import TENSORFLOW_TECHNIQUES
from apps.agents.techniques.torch import TORCH_TECHNIQUES

__all__ = [
    "BUILTIN",
    "Expectation",
    "Family",
    "ParameterSpec",
    "Risk",
    "TechniqueSpec",
    "catalogue",
    "missing_libraries",
]

BUILTIN: tuple[TechniqueSpec, ...] = (
    *ONNX_TECHNIQUES,
    *TORCH_TECHNIQUES,
    *TENSORFLOW_TECHNIQUES,
    *LITERT_TECHNIQUES,
)


@cache
def catalogue() -> Mapping[str, TechniqueSpec]:
    """Every known technique by name: the built-in ones and those that installed packages add."""
    found = {spec.name: spec for spec in BUILTIN}
    for entry in metadata.entry_points(group="lathe.techniques"):
        spec = entry.load()
        if not isinstance(spec, TechniqueSpec):
            raise TypeError(
                f"entry point {entry.value!r} in lathe.techniques is {type(spec).__name__}, not TechniqueSpec"
            )
        if spec.name in found:
            raise ValueError(f"entry point {entry.value!r} adds technique {spec.name!r}, which exists already")
        found[spec.name] = spec
    return found


def missing_libraries(spec: TechniqueSpec, installed: Iterable[str]) -> tuple[str, ...]:
    """The distributions that `spec` needs and `installed` lacks."""
    have = {name.lower().replace("_", "-") for name in installed}
    return tuple(name for name in spec.requires if name.lower().replace("_", "-") not in have)
