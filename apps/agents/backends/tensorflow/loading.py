"""Loads opened models: with Keras 3, or tf_keras if Keras 3 cannot; a SavedModel by one of its signatures."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Any

import tensorflow as tf

from apps.agents.backends.tensorflow.keras_file import KerasFile
from apps.agents.backends.tensorflow.keras_names import known_classes
from apps.agents.backends.tensorflow.keras_objects import refuse_unknown
from apps.agents.backends.tensorflow.model import TensorFlowModel, Tensors, spec_of
from apps.agents.backends.tensorflow.opening import Opened
from apps.agents.backends.tensorflow.saved_model_file import SavedModelFile
from apps.agents.contracts.errors.models import ModelTooLarge
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.reports.model import MOST_WEIGHTS, ModelSummary, TensorSpec
from apps.agents.techniques.library_calls import words_of

MIB = 1024 * 1024
_SPARE_BYTES = 256 * MIB
"""Additional memory of a model beyond its file's weights: states of random generators, tables, constants."""
READERS = (("keras", "Keras"), ("tf_keras", "tf_keras"))
"""Modules that load Keras files, in the order in which they are tried, and their usual names."""


def load_opened(opened: Opened, signature: str | None = None) -> TensorFlowModel:
    """The opened model in memory.

    Raises `ModelNotLoadable` with the library's own reasons, `KerasCustomObjects`, `ModelTooLarge` for a Keras file
    whose configuration requests more memory than its weights fill, and `SignatureUnknown`.
    """
    if isinstance(opened.described, SavedModelFile):
        return _saved_model(opened, opened.described, signature)
    return _keras(opened, opened.described)


def size_bytes(weights: Sequence[TensorSpec]) -> int:
    """Size of the weights, each once. Files also contain an optimizer's state, training functions and copies."""
    return sum(_elements(spec) * tf.as_dtype(spec.dtype).size for spec in weights)


# --- SavedModel -------------------------------------------------------------------------------------------------------


def _saved_model(opened: Opened, file: SavedModelFile, signature: str | None) -> TensorFlowModel:
    summary = file.summary(signature)
    import_module("tf_keras")  # Models that it saved can only be restored with its classes.
    try:
        loaded = tf.saved_model.load(str(opened.path), tags=list(file.tags))
        function = loaded.signatures[summary.signature]
    except Exception as error:
        raise ModelNotLoadable(reason=words_of(error)) from error

    def call(tensors: Tensors) -> Tensors:
        return function(**tensors)  # type: ignore[no-any-return]

    return TensorFlowModel(summary, call, reader=f"TensorFlow {tf.__version__}", owner=loaded)


# --- Keras ------------------------------------------------------------------------------------------------------------


def _keras(opened: Opened, file: KerasFile) -> TensorFlowModel:
    refuse_unknown(file.config, known_classes())
    refusals = []
    for module, label in READERS:
        try:
            with warnings.catch_warnings(), _no_larger_than(2 * size_bytes(file.weights) + _SPARE_BYTES):
                warnings.simplefilter("ignore")
                model = import_module(module).models.load_model(str(opened.path), compile=False)
        except (ModelTooLarge, MemoryError):
            raise
        except Exception as error:
            refusals.append(f"{label}: {words_of(error, 200)}")
            continue
        reader = f"{label} {metadata.version(module)}"
        return keras_model(model, opened.format, reader, file)
    raise ModelNotLoadable(reason="; ".join(refusals))


@contextmanager
def _no_larger_than(limit_bytes: int) -> Iterator[None]:
    """Limit memory: variables are created while a configuration is read, before its weights, and may have any size."""
    asked_bytes = 0

    def make(following: Callable[..., Any], **given: Any) -> Any:
        nonlocal asked_bytes
        asked_bytes += _asked(given)
        if asked_bytes > limit_bytes:
            raise ModelTooLarge(size_mib=asked_bytes / MIB, limit_mib=limit_bytes / MIB)
        return following(**given)

    with tf.variable_creator_scope(make):
        yield


def _asked(given: Mapping[str, Any]) -> int:
    """Bytes of a variable that would be created from these arguments, as far as they reveal it."""
    shape, dtype = given.get("shape"), given.get("dtype")
    if shape is None and callable(given.get("initial_value")):
        shape, dtype = _drawn(given["initial_value"])
    if shape is None or not tf.TensorShape(shape).is_fully_defined():
        return 0
    return int(math.prod(tf.TensorShape(shape).as_list())) * int(tf.as_dtype(dtype or tf.float32).size or 1)


def _drawn(initial_value: Callable[[], Any]) -> tuple[Any, Any]:
    """Shape and type of an initializer's result, found in a separate graph in which nothing is computed."""
    try:
        with tf.Graph().as_default():
            value = tf.convert_to_tensor(initial_value())
            return value.shape, value.dtype
    except Exception:  # It cannot be traced as a graph, so its size is unknown before it runs.
        return None, None


def keras_model(model: Any, format: str, reader: str, file: KerasFile | None = None) -> TensorFlowModel:  # noqa: A002
    """A Keras model by names. Raises `ModelNotLoadable` for a model that does not know its inputs."""
    inputs, outputs = _symbolic(model)
    takes = tuple(spec_of(name, tensor) for name, tensor in zip(_input_names(inputs), inputs, strict=True))
    gives = tuple(spec_of(name, tensor) for name, tensor in zip(_output_names(model, outputs), outputs, strict=True))
    weights = file.weights if file is not None else _weights(model)
    summary = _summary(model, format, reader, file, takes, gives, weights)

    def call(tensors: Tensors) -> Tensors:
        given = [tensors[spec.name] for spec in takes]
        results = tf.nest.flatten(model(_arranged(model, given), training=False))
        return {spec.name: tf.convert_to_tensor(result) for spec, result in zip(gives, results, strict=True)}

    return TensorFlowModel(summary, call, keras=model, reader=reader, owner=model)


def layers_of(model: Any) -> Iterator[Any]:
    """The layers that contain no others, including those of nested models, in the order of the model."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from layers_of(layer)
        elif type(layer).__name__ != "InputLayer":
            yield layer


def _summary(
    model: Any,
    format: str,  # noqa: A002
    reader: str,
    file: KerasFile | None,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    weights: tuple[TensorSpec, ...],
) -> ModelSummary:
    dtypes: Counter[str] = Counter()
    for spec in weights:
        dtypes[spec.dtype] += _elements(spec)
    written = f"Keras {file.version}" if file is not None and file.version else reader
    return ModelSummary(
        format=format,
        producer=written if reader.startswith("Keras") else f"{written}, read by {reader}",
        opset=None,
        inputs=inputs,
        outputs=outputs,
        parameters=sum(dtypes.values()),
        size_bytes=size_bytes(weights),
        operators=dict(Counter(type(layer).__name__ for layer in layers_of(model))),
        weight_dtypes=dict(dtypes),
        weights=weights[:MOST_WEIGHTS],
    )


def _symbolic(model: Any) -> tuple[list[Any], list[Any]]:
    try:
        return list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelNotLoadable(reason="its inputs are unknown: build or call the model before saving it") from error


def _weights(model: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=getattr(weight, "path", weight.name), dtype=str(weight.dtype), shape=tuple(weight.shape))
        for weight in model.weights
    )


def _arranged(model: Any, given: list[Any]) -> Any:
    """The inputs in the structure that the model was built with."""
    if len(given) == 1 and not isinstance(_structure(model), dict):
        return given[0]
    structure = _structure(model)
    return given if structure is None else tf.nest.pack_sequence_as(structure, given)


def _structure(model: Any) -> Any:
    """The structure of a functional model's inputs, for Keras 3 or tf_keras."""
    for name in ("_inputs_struct", "_nested_inputs"):
        if (structure := getattr(model, name, None)) is not None:
            return structure
    return None


def _input_names(inputs: Sequence[Any]) -> list[str]:
    return _unique([tensor.name.partition(":")[0] for tensor in inputs])


def _output_names(model: Any, outputs: Sequence[Any]) -> list[str]:
    """The names of the last layers: the tensors' own names change from one loading to the next."""
    names = list(getattr(model, "output_names", None) or [model.layers[-1].name])
    return _unique(names if len(names) == len(outputs) else [f"output_{place}" for place in range(len(outputs))])


def _unique(names: Sequence[str]) -> list[str]:
    """Unique names that every format accepts: letters, digits and underscores."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", name)
        plain = f"_{plain}" if plain[:1].isdigit() else plain
        count = sum(one == plain or one.startswith(f"{plain}__") for one in found)
        found.append(f"{plain}__{count}" if count else plain)
    return found


def _elements(spec: TensorSpec) -> int:
    count = 1
    for axis in spec.shape:
        count *= axis if isinstance(axis, int) else 1
    return count
