"""Which names of classes Keras 3 and tf_keras have for the parts of models: only these are made from a file."""

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
"""Modules of either library; one of them lacks some."""
_ALSO = ("Functional", "Model", "Sequential", "DTypePolicy", "Policy", "PolicyV1", "SyncBatchNormalization")


@cache
def known_classes() -> frozenset[str]:
    """Names of layers, operations, initializers and all else that configurations describe. Imports both libraries."""
    keras, tf_keras = import_module("keras"), import_module("tf_keras")
    names = {*_ALSO, *_public(keras), *_public(tf_keras), *_legacy_layers()}
    return frozenset(names | {kind.__name__ for kind in _below(_saveable())})


def _public(library: ModuleType) -> Iterator[str]:
    modules = (getattr(library, name, None) for name in _PUBLIC)
    for module in modules:
        yield from (name for name, value in getattr(module, "__dict__", {}).items() if isinstance(value, type))


def _legacy_layers() -> frozenset[str]:
    """What tf_keras makes by bare names, with the aliases that old files use."""
    serialization = import_module("tf_keras.src.layers.serialization")
    serialization.populate_deserializable_objects()
    return frozenset(serialization.LOCAL.ALL_OBJECTS)


def _saveable() -> Any:
    return import_module("keras.src.saving.keras_saveable").KerasSaveable


def _below(kind: Any) -> Iterator[Any]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)
