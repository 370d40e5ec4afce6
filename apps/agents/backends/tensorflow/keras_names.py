"""The class names of model parts in Keras 3 and tf_keras. Only these are created from a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

_PUBLIC = (
    *("constraints", "initializers", "layers", "losses", "metrics", "models", "optimizers", "regularizers"),
    *("dtype_policies", "quantizers", "random", "mixed_precision", "experimental"),
)
"""Modules of both libraries; each lacks some."""
_ALSO = ("Functional", "Model", "Sequential", "DTypePolicy", "Policy", "PolicyV1", "SyncBatchNormalization")


@cache
def known_classes() -> frozenset[str]:
    """Names of layers, operations, initializers and everything else in configurations. Imports both libraries."""
    keras, tf_keras = import_module("keras"), import_module("tf_keras")
    names = {*_ALSO, *_public(keras), *_public(tf_keras), *_legacy_layers()}
    return frozenset(names | {kind.__name__ for kind in _below(_saveable())})


def _public(library: ModuleType) -> Iterator[str]:
    modules = (getattr(library, name, None) for name in _PUBLIC)
    for module in modules:
        yield from (name for name, value in getattr(module, "__dict__", {}).items() if isinstance(value, type))


def _legacy_layers() -> frozenset[str]:
    """What tf_keras creates by bare names, with the aliases in old files."""
    serialization = import_module("tf_keras.src.layers.serialization")
    serialization.populate_deserializable_objects()
    return frozenset(serialization.LOCAL.ALL_OBJECTS)


def _saveable() -> Any:
    return import_module("keras.src.saving.keras_saveable").KerasSaveable


def _below(kind: Any) -> Iterator[Any]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)
