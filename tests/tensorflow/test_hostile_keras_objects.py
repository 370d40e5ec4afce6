"""Keras configurations that ask for code, for other classes or for files: all are refused, and nothing runs."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.util import tf_export

from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.keras_objects import judge_objects
from apps.agents.contracts.errors.tensorflow_models import KerasCustomObjects, KerasLambda, KerasUnsafe
from tests.tensorflow import uploads
from tests.tensorflow.hostile_keras import Config, altered, armed, dense, honest, leaving, named

# --- code in the file -------------------------------------------------------------------------------------------------


def lambda_layer(library: Any, mark: Path) -> Any:
    return library.Sequential([library.Input((3, 4)), library.layers.Lambda(leaving(mark), name="sly")])


def nested_lambda(library: Any, mark: Path) -> Any:
    return library.Sequential([library.Input((3, 4)), lambda_layer(library, mark), library.layers.Flatten()])


def distributed_lambda(library: Any, mark: Path) -> Any:
    inner = library.layers.Lambda(leaving(mark), name="sly")
    return library.Sequential([library.Input((3, 4)), library.layers.TimeDistributed(inner)])


def lambda_activation(library: Any, mark: Path) -> Any:
    return library.Sequential([library.Input((3, 4)), library.layers.Dense(2, activation=leaving(mark), name="sly")])


@pytest.mark.parametrize("build", [lambda_layer, nested_lambda, distributed_lambda])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_a_lambda_is_refused_wherever_it_lies(
    build: Callable[[Any, Path], Any], suffix: str, library: Any, tmp_path: Path, mark: Path
) -> None:
    path = armed(build(library, mark), tmp_path / f"model{suffix}", mark)
    with pytest.raises(KerasLambda, match="sly"):
        inspect(path, tmp_path)


@pytest.mark.parametrize(("library", "suffix"), [(keras, ".keras"), (keras, ".h5"), (tf_keras, ".keras")])
def test_a_lambda_for_an_activation_is_refused(library: Any, suffix: str, tmp_path: Path, mark: Path) -> None:
    path = armed(lambda_activation(library, mark), tmp_path / f"model{suffix}", mark)
    with pytest.raises(KerasLambda, match="sly"):
        inspect(path, tmp_path)


def test_a_lambda_inside_a_bidirectional_layer_is_refused(tmp_path: Path, mark: Path) -> None:
    both = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(2, return_sequences=True))
    path = uploads.saved(tf_keras.Sequential([tf_keras.Input((3, 4)), both]), tmp_path / "model.h5")
    hidden = named("Lambda", None, name="sly", function=["4wEAAAAA", None, None], function_type="lambda")
    altered(path, lambda config: config["config"]["layers"][1]["config"].update(backward_layer=hidden))
    with pytest.raises(KerasLambda, match="sly"):
        inspect(path, tmp_path)


def residual_cell(mark: Path) -> Any:
    cell = tf.nn.RNNCellResidualWrapper(tf_keras.layers.LSTMCell(4), residual_fn=leaving(mark))
    return tf_keras.Sequential([tf_keras.Input((3, 4)), tf_keras.layers.RNN(cell, name="sly")])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_byte_code_of_a_cell_is_refused(suffix: str, tmp_path: Path, mark: Path) -> None:
    path = armed(residual_cell(mark), tmp_path / f"model{suffix}", mark)
    with pytest.raises(KerasUnsafe, match="byte code"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("build", [lambda mark: lambda_layer(tf_keras, mark), residual_cell], ids=["lambda", "cell"])
def test_the_attacks_are_real(build: Callable[[Path], Any], tmp_path: Path) -> None:
    """tf_keras alone runs what an `.h5` holds."""
    mark = tmp_path / "left"
    path = armed(build(mark), tmp_path / "model.h5", mark)
    tf_keras.models.load_model(path, compile=False)
    assert mark.exists()


def test_a_file_that_is_a_zip_and_hdf5_at_once_is_judged_as_what_is_loaded(tmp_path: Path, mark: Path) -> None:
    path = armed(lambda_layer(tf_keras, mark), tmp_path / "model.h5", mark)
    harmless = honest(tmp_path / "harmless.keras")
    with zipfile.ZipFile(path, "a") as both, zipfile.ZipFile(harmless) as archive:
        for name in archive.namelist():
            both.writestr(name, archive.read(name))
    assert zipfile.is_zipfile(path)
    with pytest.raises(KerasLambda):
        inspect(path, tmp_path)


# --- objects from elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        *(("system", "os"), ("Popen", "subprocess"), ("eval", "builtins"), ("load_library", "tensorflow")),
        *(("get_file", "keras.utils"), ("get_file", "keras.src.utils.file_utils"), ("load_model", "keras.saving")),
        *(("load_model", "keras.src.saving.saving_api"), ("deserialize_keras_object", "keras.src.saving")),
        *(("enable_unsafe_deserialization", "keras.config"), ("Foo", "keras.layers.os.path.."), ("x", "kerasos")),
        *(("deserialize", "keras.src.legacy.saving.serialization"), ("tf.load_library", "keras.src.layers")),
        ("get_file", "tf_keras.src.utils.data_utils"),
    ],
)
@pytest.mark.parametrize("as_function", [False, True])
def test_classes_and_functions_of_other_modules_are_refused(
    kind: str, module: str, as_function: bool, tmp_path: Path
) -> None:
    made: Config = named(kind, module)
    if as_function:
        made = {"class_name": "function", "module": module, "config": kind, "registered_name": kind}
    path = altered(honest(tmp_path / "model.keras"), lambda config: dense(config)["config"].update(activation=made))
    with pytest.raises(KerasCustomObjects, match=kind):
        inspect(path, tmp_path)


@pytest.mark.parametrize("module", ["keras.models", "keras", "keras.src.models.cloning", "keras.layers"])
def test_functions_are_taken_from_packages_that_only_compute(module: str) -> None:
    function = {"class_name": "function", "module": module, "config": "load_model", "registered_name": "load_model"}
    with pytest.raises(KerasCustomObjects, match="load_model"):
        judge_objects(function, legacy=False)


def test_a_class_of_keras_that_is_no_part_of_models_is_refused(tmp_path: Path) -> None:
    made = named("SerializableDict", "keras.src.layers.layer")
    path = altered(honest(tmp_path / "model.keras"), lambda config: dense(config)["config"].update(activation=made))
    with pytest.raises(KerasCustomObjects, match="SerializableDict"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_registered_name_does_not_hide_another_class(legacy: bool) -> None:
    hidden = named("Harmless", "keras.src.layers.core.lambda_layer", "Lambda")
    with pytest.raises(KerasCustomObjects, match="Lambda"):
        judge_objects(hidden, legacy=legacy)


@keras.saving.register_keras_serializable("shop")
class Basket(keras.layers.Layer):
    def call(self, given: Any) -> Any:
        return given


@keras.saving.register_keras_serializable("shop")
class Till(keras.layers.Layer):
    def call(self, given: Any) -> Any:
        return given


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_all_custom_objects_are_named(suffix: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), Basket(), keras.layers.Dense(2), Till()])
    with pytest.raises(KerasCustomObjects, match="Basket, Till"):
        inspect(uploads.saved(model, tmp_path / f"model{suffix}"), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_custom_function_is_named(suffix: str, tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("shop")
    def doubled(given: Any) -> Any:
        return given * 2

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=doubled)])
    with pytest.raises(KerasCustomObjects, match="doubled"):
        inspect(uploads.saved(model, tmp_path / f"model{suffix}"), tmp_path)


def test_unknown_classes_of_a_legacy_file_are_all_named(tmp_path: Path) -> None:
    path = uploads.by_tf_keras(tmp_path / "model.h5")

    def rename(config: Config) -> None:
        for layer, kind in zip(config["config"]["layers"][1:], ("MyConv", "MyNorm"), strict=False):
            layer.update(class_name=kind)
            layer.pop("module", None)
            layer.pop("registered_name", None)

    with pytest.raises(KerasCustomObjects, match="MyConv, MyNorm"):
        inspect(altered(path, rename), tmp_path)


# --- Keras' own classes that load or run things -----------------------------------------------------------------------

LOADERS: dict[str, Config] = {
    "TFSMLayer": {"filepath": "/elsewhere"},
    "TorchModuleWrapper": {},
    "JaxLayer": {},
    "FlaxLayer": {},
    "TensorFlowOpLayer": {"node_def": "ReadFile"},
    "ResidualWrapper": {"residual_fn": ["4wEAAAAA", None, None], "residual_fn_type": "lambda"},
    "DropoutWrapper": {},
    "ClassMethod": {"cls_symbol": "io.gfile.GFile", "method_name": "read"},
    "InstanceMethod": {"attr_name": "__reduce__"},
    "InstanceProperty": {"attr_name": "__class__"},
    "TFOpLambda": {"function": "io.read_file"},
    "SlicingOpLambda": {"function": "io.write_file"},
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("legacy", [False, True])
def test_layers_that_load_or_run_things_are_refused(kind: str, legacy: bool, tmp_path: Path) -> None:
    suffix, module = (".h5", None) if legacy else (".keras", "keras.layers")
    layer = named(kind, module, name="sly", **LOADERS[kind])
    path = altered(honest(tmp_path / f"model{suffix}"), lambda config: config["config"]["layers"].append(layer))
    with pytest.raises(KerasUnsafe, match="sly"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("kind", ["TFOpLambda", "SlicingOpLambda"])
@pytest.mark.parametrize(
    "function",
    [
        *(
            "io.read_file",
            "io.write_file",
            "io.matching_files",
            "numpy_function",
            "py_function",
            "load_library",
            "print",
        ),
        *("load_op_library", "saved_model.load", "map_fn", "while_loop", "function", "data.TextLineDataset"),
        *("keras.models.load_model", "keras.utils.get_file", "keras.backend.set_floatx", "keras.backend.function"),
        *(
            "nn.fixed_unigram_candidate_sampler",
            "nn.RNNCellResidualWrapper",
            "linalg.LinearOperator",
            "raw_ops.ReadFile",
        ),
        *(
            "compat.v1.py_func",
            "mathx",
            "math.",
            "math.x.y",
            "shape; import os",
            "concat\nio.read_file",
            "__operators__.",
        ),
    ],
)
def test_functions_of_tensorflow_that_do_more_than_compute_are_refused(kind: str, function: str) -> None:
    with pytest.raises(KerasUnsafe):
        judge_objects(named(kind, None, function=function), legacy=True)


def test_every_function_that_is_let_through_computes() -> None:
    """Of all that TensorFlow and tf_keras export: none speaks of files, and none takes the name of one."""

    def passes(name: str) -> bool:
        try:
            judge_objects(named("TFOpLambda", None, function=name), legacy=True)
        except KerasUnsafe:
            return False
        return True

    allowed = [name for name in tf_export._NAME_TO_SYMBOL_MAPPING if passes(name)]
    assert len(allowed) > 200
    for name in allowed:
        symbol = tf_export.get_symbol_from_name(name)
        assert not isinstance(symbol, type), name
        arguments = signature(symbol).parameters
        suspicious = [one for one in arguments if re.search(r"(^|_)(\w*file\w*|path)(_|$)", one)]
        assert not suspicious, name


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
@pytest.mark.parametrize("argument", ["vocabulary", "idf_weights"])
@pytest.mark.parametrize("value", ["/etc/passwd", {"class_name": "__bytes__", "config": {"value": "/etc/passwd"}}])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_vocabulary_in_another_file_is_refused(
    kind: str, argument: str, value: Any, suffix: str, tmp_path: Path
) -> None:
    layer = named(kind, None if suffix == ".h5" else "keras.layers", name="sly", **{argument: value})
    path = altered(honest(tmp_path / f"model{suffix}"), lambda config: config["config"]["layers"].append(layer))
    with pytest.raises(KerasUnsafe, match="sly"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("key", ["compile_config", "training_config"])
def test_what_an_inner_object_was_compiled_with_is_judged(key: str) -> None:
    """Keras makes it: only that of the whole model is left out."""
    inner = {**named("Sequential", "keras", name="inner", layers=[]), key: named("Lambda", name="sly")}
    with pytest.raises(KerasLambda, match="sly"):
        judge_objects(named("Sequential", "keras", layers=[inner]), legacy=False)


def test_what_the_model_itself_was_compiled_with_is_not_made(tmp_path: Path) -> None:
    hidden = {"loss": named("Lambda", name="sly")}
    path = altered(honest(tmp_path / "model.keras"), lambda config: config.update(compile_config=hidden))
    assert inspect(path, tmp_path).parameters == 10


# --- many objects -----------------------------------------------------------------------------------------------------


def test_objects_within_objects_are_judged_without_recursion() -> None:
    inner: Config = named("Lambda", name="sly")
    for _ in range(50_000):
        inner = {"config": [inner]}
    with pytest.raises(KerasLambda, match="sly"):
        judge_objects(inner, legacy=False)


def test_a_long_list_of_names_is_cut_short() -> None:
    layers = [named(f"Mine{number}" + "x" * 500, "mine") for number in range(100)]
    with pytest.raises(KerasCustomObjects, match="and 88 more") as caught:
        judge_objects(named("Sequential", "keras", layers=layers), legacy=False)
    assert len(caught.value.message) < 3000
