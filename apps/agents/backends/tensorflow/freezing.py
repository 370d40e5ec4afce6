"""A model as one graph whose weights are constants: the starting point of converters, for every format.

Variables become constants (`convert_variables_to_constants_v2`), and the graph is saved as a SavedModel with a single
signature that keeps the summary's names. A graph of constants is one protobuf, so it is limited to 2 GiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from apps.agents.backends.tensorflow.model import TensorFlowModel, tensor_spec

SIGNATURE = "serving_default"


Shapes = Mapping[str, tuple[int | None, ...]]


def frozen(model: TensorFlowModel, shapes: Shapes | None = None, *, flat: bool = True) -> Any:
    """The concrete function of `model` with constants for variables. Outputs are in the order of their names.

    With `shapes`, by input name, the graph accepts only these. In a `flat` graph, the bodies of loops and branches are
    among the other operators, between switches and merges; otherwise they are separate functions, which converters
    expect.
    """
    return convert_variables_to_constants_v2(model.traced(shapes=shapes), lower_control_flow=flat)


def write_frozen(model: TensorFlowModel, folder: Path, shapes: Shapes | None = None) -> Path:
    """Write the frozen graph as a SavedModel to `folder`, with the signature `SIGNATURE`. Returns `folder`."""
    save_function(frozen(model, shapes, flat=False), model, folder, shapes)
    return folder


def save_function(function: Any, model: TensorFlowModel, folder: Path, shapes: Shapes | None = None) -> None:
    """Save a function frozen from `model`, for inputs of these `shapes`, with the summary's names."""
    taken = [tensor.name.partition(":")[0] for tensor in function.inputs]
    names = sorted(
        spec.name for spec in model.summary.outputs
    )  # The order in which a dictionary of results is flattened.

    def serve(**tensors: Any) -> dict[str, Any]:
        results = function(*(tensors[name] for name in taken))
        return dict(zip(names, tf.nest.flatten(results), strict=True))

    module = tf.Module()
    module.function = function
    module.serve = tf.function(serve, autograph=False)
    taken_as = {spec.name: tensor_spec(spec, (shapes or {}).get(spec.name)) for spec in model.summary.inputs}
    signature = module.serve.get_concrete_function(**taken_as)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: signature})
