"""Keras files made to run code, read files or exhaust memory when opened: all are refused, and nothing runs."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.util import tf_export

from apps.agents.archives import Limits
from apps.agents.backends.tensorflow import keras_file
from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.backends.tensorflow.keras_objects import judge_objects
from apps.agents.backends.tensorflow.opening import open_model
from apps.agents.errors import (
    ArchiveBomb,
    ArchiveDuplicate,
    ArchiveLink,
    ArchivePathEscape,
    Hdf5Unsafe,
    KerasCustomObjects,
    KerasDamaged,
    KerasLambda,
    KerasUnsafe,
    ModelTooLarge,
)
from apps.errors import UserError
from tests.tensorflow import uploads

Config = dict[str, Any]


def leaving(mark: Path) -> Any:
    """A function of tensors that leaves the mark and gives back what it was given."""
    place = str(mark)
    return lambda *given: (open(place, "w"), given[-1])[1]


def armed(model: Any, path: Path, mark: Path) -> Path:
    """The model in a file; what building it has left is taken away."""
    uploads.saved(model, path)
    mark.unlink(missing_ok=True)
    return path


def altered(path: Path, change: Callable[[Config], object]) -> Path:
    """The Keras file with its configuration changed in place."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    return packed(path, {**parts, "config.json": json.dumps(config).encode()})


def packed(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def plain(library: Any = keras) -> Any:
    return library.Sequential([library.Input((4,), name="given"), library.layers.Dense(2, name="out")])


def honest(path: Path) -> Path:
    return uploads.saved(plain(), path)


def dense(config: Config) -> Config:
    """The configuration of the one layer that has weights."""
    found = next(one for one in config["config"]["layers"] if one["class_name"] == "Dense")
    assert isinstance(found, dict)
    return found


def named(kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> Config:
    return {"class_name": kind, "module": module, "registered_name": registered, "config": config}


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


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def weights_changed(path: Path, change: Callable[[Any], object]) -> Path:
    """The `.keras` or `.h5` with its HDF5 changed."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return path
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inner = path.with_name("inner.h5")
    inner.write_bytes(parts["model.weights.h5"])
    with h5py.File(inner, "r+") as file:
        change(file)
    return packed(path, {**parts, "model.weights.h5": inner.read_bytes()})


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/elsewhere.h5", "numbers", shape=(4,))
    file.create_virtual_dataset("sly", layout)


def deep(file: Any) -> None:
    group = file
    for _ in range(300):
        group = group.create_group("g")


HDF5: dict[str, Callable[[Any], object]] = {
    "an external link": lambda file: file.__setitem__("sly", h5py.ExternalLink("/elsewhere.h5", "/numbers")),
    "a soft link": lambda file: file.__setitem__("sly", h5py.SoftLink("/numbers")),
    "a dangling link far below": lambda file: file.__setitem__("a/b/c/sly", h5py.SoftLink("/nothing")),
    "numbers in another file": lambda file: file.create_dataset("sly", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
    "a virtual data set": virtual,
    "text in place of numbers": lambda file: file.create_dataset("sly", data=["a"], dtype=h5py.string_dtype()),
    "references in place of numbers": lambda file: file.create_dataset("sly", (1,), dtype=h5py.ref_dtype),
    "groups without end": deep,
    "numbers that are not there": lambda file: file.create_dataset("sly", (1 << 28,), "f4", chunks=(1 << 20,)),
}


@pytest.mark.parametrize("attack", HDF5)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_that_point_elsewhere_are_refused(attack: str, suffix: str, tmp_path: Path) -> None:
    path = weights_changed(honest(tmp_path / f"model{suffix}"), HDF5[attack])
    with pytest.raises(Hdf5Unsafe):
        inspect(path, tmp_path)


def test_the_group_of_weights_itself_may_not_be_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.create_dataset("secret", data=np.ones(3))

    def link(file: Any) -> None:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(str(other), "/")

    with pytest.raises(Hdf5Unsafe, match="model_weights"):
        inspect(weights_changed(honest(tmp_path / "model.h5"), link), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_circle_of_groups_is_walked_once(suffix: str, tmp_path: Path) -> None:
    def circle(file: Any) -> None:
        file.create_group("a/b")
        file["a/b/again"] = file["a"]
        file["a/b/root"] = file["/"]

    assert inspect(weights_changed(honest(tmp_path / f"model{suffix}"), circle), tmp_path).parameters == 10


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_absurd_sizes_are_refused_before_anything_is_read(suffix: str, tmp_path: Path) -> None:
    def declare(file: Any) -> None:
        file.create_dataset("sly", (1 << 50,), "f8", chunks=(1 << 20,))

    with pytest.raises(ModelTooLarge):
        inspect(weights_changed(honest(tmp_path / f"model{suffix}"), declare), tmp_path)


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MOST_OF_ATTRIBUTES_BYTES", np.bytes_(b"a" * 2000)), ("MOST_OF_LISTED_BYTES", np.array(["a"] * 9, object))],
)
def test_attributes_are_limited_before_they_are_read(
    limit: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_changed(honest(tmp_path / "model.h5"), lambda file: file.create_group("a").attrs.update(sly=value))
    assert inspect(path, tmp_path).parameters == 10
    monkeypatch.setattr(keras_file, limit, 1000)
    with pytest.raises(Hdf5Unsafe, match="attribute"):
        inspect(path, tmp_path)


@pytest.mark.parametrize("layer", [{"units": 1 << 32}, {"units": 1 << 44}])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_configuration_does_not_ask_for_more_memory_than_its_weights_fill(
    layer: Config, suffix: str, tmp_path: Path
) -> None:
    path = altered(honest(tmp_path / f"model{suffix}"), lambda config: dense(config)["config"].update(layer))
    with pytest.raises(ModelTooLarge):
        inspect(path, tmp_path)


# --- archives and damage ----------------------------------------------------------------------------------------------


def added(path: Path, name: str, content: bytes = b"", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "error"),
    [
        ("../mark", 0, ArchivePathEscape),
        ("/etc/mark", 0, ArchivePathEscape),
        ("assets/../../mark", 0, ArchivePathEscape),
        ("assets/layer", 0o120777, ArchiveLink),
        ("./config.json", 0, ArchiveDuplicate),
        ("CONFIG.json", 0, ArchiveDuplicate),
    ],
)
def test_an_archive_that_escapes_is_refused(
    name: str, mode: int, error: type[UserError], tmp_path: Path, mark: Path
) -> None:
    with pytest.raises(error):
        inspect(added(honest(tmp_path / "model.keras"), name, b"/etc/passwd", mode), tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    parts = {"config.json": b"{}", "model.weights.h5": bytes(100 << 20)}
    with pytest.raises(ArchiveBomb):
        inspect(packed(tmp_path / "model.keras", parts, zipfile.ZIP_DEFLATED), tmp_path)
    with pytest.raises(ArchiveBomb):
        open_model(honest(tmp_path / "small.keras"), tmp_path, Limits(total_bytes=1000))


BAD_CONFIGURATIONS = {
    "no JSON": b"{",
    "no object": b"[]",
    "no text": b"\xff\xfe\x00",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"config":' * 100_000 + b"1" + b"}" * 100_000,
    "a number without end": b'{"a": ' + b"9" * 10_000 + b"}",
    "too long": b'{"a": "' + b"a" * (33 << 20) + b'"}',
}


@pytest.mark.parametrize("what", BAD_CONFIGURATIONS)
@pytest.mark.parametrize("part", ["config.json", "metadata.json"])
def test_a_configuration_that_cannot_be_read_is_refused(what: str, part: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path = packed(tmp_path / "bad.keras", {**parts, part: BAD_CONFIGURATIONS[what]})
    with pytest.raises(KerasDamaged):
        inspect(path, tmp_path)


@pytest.mark.parametrize("config", [{}, {"class_name": []}, {"class_name": "Sequential"}, {"config": None}])
def test_a_configuration_of_no_model_is_refused(config: Config, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path = packed(tmp_path / "bad.keras", {**parts, "config.json": json.dumps(config).encode()})
    with pytest.raises(UserError):
        inspect(path, tmp_path)


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


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    plain().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(KerasDamaged, match="weights alone"):
        inspect(tmp_path / "model.weights.h5", tmp_path)


@pytest.mark.parametrize("missing", ["config.json"])
def test_an_archive_that_lacks_a_part_is_refused(missing: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != missing}
    with pytest.raises(KerasDamaged, match=missing):
        inspect(packed(tmp_path / "bad.keras", parts), tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_cut_off_anywhere_is_refused(suffix: str, tmp_path: Path) -> None:
    content = honest(tmp_path / f"model{suffix}").read_bytes()
    cut = tmp_path / "cut"
    for length in range(16, len(content) - 64, len(content) // 60):
        cut.write_bytes(content[:length])
        with pytest.raises(UserError):
            inspect(cut, tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_flipped_bytes_never_raise_anything_but_refusals(suffix: str, tmp_path: Path) -> None:
    content, chance, refused = honest(tmp_path / f"model{suffix}").read_bytes(), random.Random(0), 0
    damaged = tmp_path / "damaged"
    for _ in range(250):
        flipped = bytearray(content)
        for _ in range(chance.choice((1, 4, 16))):
            flipped[chance.randrange(8, len(flipped))] = chance.choice((0, 1, 127, 128, 255))
        damaged.write_bytes(flipped)
        try:
            inspect(damaged, tmp_path)
        except UserError:
            refused += 1
    assert refused > 30


def test_reading_takes_little_memory(tmp_path: Path) -> None:
    """A configuration at the limit is read and judged in bounded memory."""
    with zipfile.ZipFile(honest(tmp_path / "model.keras")) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    lists = b'{"class_name": "Lambda", "config": [' + b"[]," * (1 << 20) + b"[]]}"
    path = packed(tmp_path / "wide.keras", {**parts, "config.json": lists})
    tracemalloc.start()
    try:
        with pytest.raises(KerasLambda):
            open_model(path, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
