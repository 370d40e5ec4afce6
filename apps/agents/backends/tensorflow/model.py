"""A loaded model in the form that this backend uses: named tensors in, named tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from apps.agents.contracts.reports.model import ModelSummary, TensorSpec

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class TensorFlowModel:
    """`call` takes tensors by the summary's input names and returns tensors by its output names."""

    summary: ModelSummary
    call: Callable[[Tensors], Tensors]
    keras: Any = None
    """The Keras model, of Keras 3 or tf_keras; `None` for a SavedModel."""
    reader: str = ""
    """The library that loaded it, such as `Keras 3.15.1`."""
    owner: Any = None
    """Keeps the variables alive."""

    @property
    def is_keras_3(self) -> bool:
        return self.keras is not None and type(self.keras).__module__.partition(".")[0] != "tf_keras"

    def traced(self, *, compiled: bool = False, shapes: Mapping[str, tuple[int | None, ...]] | None = None) -> Any:
        """One graph for batches of every size, or for inputs of these `shapes` by name.

        `compiled`: with XLA, which compiles a program for each shape.
        """
        fixed = shapes or {}
        names = [spec.name for spec in self.summary.outputs]

        def run(**tensors: Any) -> dict[str, Any]:
            given = self.call(tensors)
            return {name: given[name] for name in names}

        function = tf.function(run, jit_compile=compiled, autograph=False)
        return function.get_concrete_function(
            **{spec.name: tensor_spec(spec, fixed.get(spec.name)) for spec in self.summary.inputs}
        )


def tensor_spec(spec: TensorSpec, fixed: tuple[int | None, ...] | None = None) -> Any:
    """TensorFlow's own spec of an input: free axes become `None`, unless a `fixed` shape is given."""
    shape = fixed or [axis if isinstance(axis, int) else None for axis in spec.shape]
    return tf.TensorSpec(shape, tf.as_dtype(spec.dtype), name=spec.name)


def spec_of(name: str, tensor: Any) -> TensorSpec:
    """The description of a symbolic tensor of Keras or TensorFlow, under `name`."""
    shape = tuple(None if axis is None else int(axis) for axis in tensor.shape)
    return TensorSpec(name=name, dtype=tf.as_dtype(tensor.dtype).name, shape=shape)
