"""The catalogue of techniques: Lathe's own and those that installed packages add.

A package outside this repository adds a technique with an entry point in the group `lathe.techniques` that resolves to
a `TechniqueSpec` (docs/add-a-technique.md). An entry point that does not is left out and reported. It does not affect
the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import NamedTuple

from apps.agents.contracts.values import Value
from apps.agents.techniques.clustering.specs import KERAS_CLUSTERING, ONNX_CLUSTERING, TORCH_CLUSTERING
from apps.agents.techniques.keras_decomposition import KERAS_DECOMPOSITION
from apps.agents.techniques.keras_pruning import KERAS_PRUNING
from apps.agents.techniques.keras_training import KERAS_RECOVERY
from apps.agents.techniques.library_calls import words_of
from apps.agents.techniques.litert import LITERT_TECHNIQUES
from apps.agents.techniques.onnx import ONNX_TECHNIQUES
from apps.agents.techniques.onnx_calibration import ONNX_CALIBRATION_TECHNIQUES
from apps.agents.techniques.onnx_decomposition import ONNX_DECOMPOSITION
from apps.agents.techniques.onnx_pruning import ONNX_PRUNING
from apps.agents.techniques.onnx_training import ONNX_RECOVERY
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec
from apps.agents.techniques.tensorflow import TENSORFLOW_TECHNIQUES
from apps.agents.techniques.torch import TORCH_TECHNIQUES
from apps.agents.techniques.torch_architecture import TORCH_ARCHITECTURE
from apps.agents.techniques.torch_decomposition import TORCH_DECOMPOSITION
from apps.agents.techniques.torch_distillation import TORCH_DISTILLATION_TECHNIQUES
from apps.agents.techniques.torch_pruning import TORCH_PRUNING_TECHNIQUES
from apps.agents.techniques.torch_sparsity import TORCH_SPARSITY_TECHNIQUES
from apps.agents.techniques.torch_training import TORCH_TRAINING_TECHNIQUES
from apps.agents.techniques.torch_width import TORCH_WIDTH

__all__ = [
    "BUILTIN",
    "AddedTechnique",
    "BrokenTechnique",
    "Expectation",
    "Family",
    "ParameterSpec",
    "Risk",
    "TechniqueSpec",
    "added_techniques",
    "broken_techniques",
    "catalogue",
    "missing_libraries",
]

logger = logging.getLogger(__name__)

BUILTIN: tuple[TechniqueSpec, ...] = (
    *ONNX_TECHNIQUES,
    *ONNX_CALIBRATION_TECHNIQUES,
    ONNX_PRUNING,
    ONNX_DECOMPOSITION,
    ONNX_CLUSTERING,
    ONNX_RECOVERY,
    *TORCH_TECHNIQUES,
    *TORCH_PRUNING_TECHNIQUES,
    *TORCH_SPARSITY_TECHNIQUES,
    TORCH_WIDTH,
    TORCH_DECOMPOSITION,
    TORCH_CLUSTERING,
    TORCH_ARCHITECTURE,
    *TORCH_TRAINING_TECHNIQUES,
    *TORCH_DISTILLATION_TECHNIQUES,
    *TENSORFLOW_TECHNIQUES,
    KERAS_CLUSTERING,
    KERAS_PRUNING,
    KERAS_DECOMPOSITION,
    KERAS_RECOVERY,
    *LITERT_TECHNIQUES,
)


class AddedTechnique(Value):
    """A technique of an installed package."""

    package: str
    """The distribution that declares it."""
    version: str
    """The distribution's."""
    spec: TechniqueSpec


class BrokenTechnique(Value):
    """An entry point whose technique cannot be added, and why."""

    entry: str
    """The name of the entry point."""
    package: str
    """The distribution that declares it."""
    target: str
    """The object that it points to, as `module:SPEC`."""
    reason: str


class _Loaded(NamedTuple):
    by_name: Mapping[str, TechniqueSpec]
    added: tuple[AddedTechnique, ...]
    broken: tuple[BrokenTechnique, ...]


def catalogue() -> Mapping[str, TechniqueSpec]:
    """All known techniques by name: the built-in ones and those that installed packages add."""
    return _loaded().by_name


def added_techniques() -> tuple[AddedTechnique, ...]:
    """The techniques that installed packages add."""
    return _loaded().added


def broken_techniques() -> tuple[BrokenTechnique, ...]:
    """The techniques of installed packages that could not be added."""
    return _loaded().broken


@cache
def _loaded() -> _Loaded:
    known = {spec.name: spec for spec in BUILTIN}
    added: list[AddedTechnique] = []
    broken: list[BrokenTechnique] = []
    for entry in metadata.entry_points(group="lathe.techniques"):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
        try:
            spec = _added(entry, known)
        except (Exception, SystemExit) as error:  # The import of another package's module may raise anything.
            reason = str(error) if isinstance(error, _NotAdded) else words_of(error)
            broken.append(BrokenTechnique(entry=entry.name, package=package, target=entry.value, reason=f"{reason}."))
            logger.error("The technique %s from %s is left out: %s.", entry.name, package, reason)
            continue
        known[spec.name] = spec
        added.append(AddedTechnique(package=package, version=version, spec=spec))
    return _Loaded(known, tuple(added), tuple(broken))


class _NotAdded(Exception):
    """The entry point was loaded, but its object cannot be added."""


def _added(entry: metadata.EntryPoint, known: Mapping[str, TechniqueSpec]) -> TechniqueSpec:
    spec = entry.load()
    if not isinstance(spec, TechniqueSpec):
        raise _NotAdded(f"{entry.value} is {type(spec).__name__}, not TechniqueSpec")
    if spec.name in known:
        raise _NotAdded(f"the technique {spec.name!r} exists already")
    return spec


def missing_libraries(spec: TechniqueSpec, installed: Iterable[str]) -> tuple[str, ...]:
    """The distributions that `spec` needs and that are not in `installed`."""
    have = {name.lower().replace("_", "-") for name in installed}
    return tuple(name for name in spec.requires if name.lower().replace("_", "-") not in have)
