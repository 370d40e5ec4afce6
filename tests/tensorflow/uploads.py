"""Models as people upload them: real ones of many kinds, written by Keras 3, tf_keras and TensorFlow."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from keras import layers

VOCABULARY = ["cat", "dog", "fish"]


# --- Keras ------------------------------------------------------------------------------------------------------------


def convolutional(library: Any = keras) -> Any:
    made = library.layers
    return library.Sequential(
        [
            library.Input((8, 8, 3), name="pictures"),
            made.Conv2D(4, 3, activation="relu"),
            made.BatchNormalization(),
            made.GlobalAveragePooling2D(),
            made.Dense(2, activation="softmax", name="scores"),
        ]
    )


def two_inputs_two_outputs() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    joined = layers.Concatenate()([layers.Dense(5, activation="gelu")(left), right])
    return keras.Model([left, right], [layers.Dense(2, name="first")(joined), layers.Dense(1, name="second")(joined)])


def dictionary_of_inputs() -> Any:
    inputs = {"age": keras.Input((1,), name="age"), "income": keras.Input((1,), name="income")}
    return keras.Model(inputs, layers.Dense(1, name="risk")(layers.Concatenate()(list(inputs.values()))))


def nested() -> Any:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.PReLU()], name="inner")
    given = keras.Input((6,), name="given")
    return keras.Model(given, layers.Dense(1, name="out")(inner(layers.LayerNormalization()(given))))


def operations() -> Any:
    given = keras.Input((4, 4), name="given")
    mixed = keras.ops.matmul(given, keras.ops.transpose(given, (0, 2, 1))) * 2.0 + 1.0
    return keras.Model(given, layers.Dense(2, name="out")(keras.ops.mean(keras.ops.relu(mixed[:, 1:]), axis=1)))


def recurrent() -> Any:
    return keras.Sequential(
        [
            keras.Input((5, 3), name="series"),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(3)),
            layers.RNN([layers.GRUCell(4), layers.SimpleRNNCell(2)]),
        ]
    )


def attention() -> Any:
    tokens = keras.Input((6,), name="tokens", dtype="int32")
    words = layers.Embedding(10, 8)(tokens)
    attended = layers.MultiHeadAttention(2, 4)(words, words)
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([words, attended])))
    return keras.Model(tokens, layers.Dense(2, name="out")(pooled))


def quantized() -> Any:
    model = keras.Sequential([keras.Input((16,), name="given"), layers.Dense(8), layers.Dense(2, name="out")])
    model.quantize("int8")
    return model


def half_precision() -> Any:
    policy = keras.DTypePolicy("mixed_float16")
    return keras.Sequential([keras.Input((4,), name="given"), layers.Dense(2, dtype=policy, name="out")])


def trained() -> Any:
    """Compiled, with the optimizer's state, a custom metric's name and dropout's generator in the file."""
    model = keras.Sequential([keras.Input((4,), name="given"), layers.Dropout(0.5), layers.Dense(1, name="out")])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.zeros((4, 4)), np.zeros((4, 1)), verbose=0)
    return model


def regularized() -> Any:
    made = layers.Dense(
        2, kernel_initializer=keras.initializers.Constant(0.5), kernel_regularizer="l2", kernel_constraint="max_norm"
    )
    return keras.Sequential([keras.Input((4,), name="given"), layers.Normalization(mean=0.0, variance=1.0), made])


def words() -> Any:
    """Takes strings; its vocabulary stands in its configuration."""
    model = keras.Sequential([keras.Input((1,), dtype="string", name="words")])
    model.add(layers.StringLookup(vocabulary=VOCABULARY))
    model.add(layers.Embedding(4, 2))
    model.add(layers.Flatten(name="out"))
    return model


KERAS: dict[str, Callable[[], Any]] = {
    builder.__name__: builder
    for builder in (
        *(convolutional, two_inputs_two_outputs, dictionary_of_inputs, nested, operations, recurrent, attention),
        *(quantized, half_precision, trained, regularized, words),
    )
}


def saved(model: Any, path: Path) -> Path:
    """The model in the file at `path`, whose suffix chooses the format; a model of either library."""
    model.save(path)
    return path


def by_tf_keras(path: Path) -> Path:
    return saved(convolutional(tf_keras), path)


def calling_tensorflow(path: Path) -> Path:
    """A tf_keras model with functions of TensorFlow between its layers, which Keras 3 cannot read."""
    given = tf_keras.Input((4,), name="given")
    called = tf.concat([tf.nn.relu(given) * 2.0, tf.math.sqrt(tf.abs(given))], axis=-1)
    return saved(tf_keras.Model(given, tf_keras.layers.Dense(2, name="out")(called[:, :6])), path)


# --- SavedModel -------------------------------------------------------------------------------------------------------


class Scales(tf.Module):
    """A variable, and a table from words to numbers that stands in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable([2.0, 3.0], name="factor")
        keys, values = tf.constant(VOCABULARY), tf.constant([0.0, 1.0, 2.0])
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def scaled(self, x: Any) -> dict[str, Any]:
        return {"scaled": x * self.factor}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
    def looked_up(self, word: Any) -> dict[str, Any]:
        return {"number": self.table.lookup(word)}


def zipped(folder: Path) -> Path:
    """The folder as a zip beside it."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent))
    return target


def module(folder: Path) -> Path:
    made = Scales()
    tf.saved_model.save(made, str(folder), signatures={"scale": made.scaled, "look_up": made.looked_up})
    return folder


def function(folder: Path, body: Callable[[Any], Any], dtype: Any = tf.float32) -> Path:
    """A SavedModel of one function of a vector called `x`, without variables."""
    made = tf.Module()
    made.run = tf.function(body, input_signature=[tf.TensorSpec([None], dtype, name="x")], autograph=False)
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.run})
    return folder


def exported(folder: Path, model: Any = None) -> Path:
    """By `model.export` of Keras 3."""
    (model or convolutional()).export(str(folder), verbose=False)
    return folder


def vectorized_texts(folder: Path) -> Path:
    model = keras.Sequential([keras.Input((), dtype="string", name="text")])
    model.add(layers.TextVectorization(vocabulary=VOCABULARY, output_sequence_length=4))
    model.add(layers.Embedding(8, 2))
    model.add(layers.GlobalAveragePooling1D(name="out"))
    return exported(folder, model)


def of_tf_keras(folder: Path) -> Path:
    convolutional(tf_keras).save(str(folder), save_format="tf")
    return folder


def of_tensorflow_1(folder: Path) -> Path:
    """With a session, a saver and variables in collections, as TensorFlow 1 wrote them."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        given = v1.placeholder(tf.float32, [None, 4], name="given")
        weight = v1.get_variable("weight", [4, 2], use_resource=True)
        out = tf.nn.softmax(tf.matmul(given, weight), name="out")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"given": given}, {"out": out})
    return folder


SAVED_MODELS: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder for builder in (module, exported, vectorized_texts, of_tf_keras, of_tensorflow_1)
}


# --- TensorFlow Lite --------------------------------------------------------------------------------------------------


def litert(path: Path, *, quantized: bool = False) -> Path:
    """A small convolutional network; with `quantized` all of it in int8, its input and output too."""
    converter = tf.lite.TFLiteConverter.from_keras_model(convolutional(tf_keras))
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        pictures = np.random.default_rng(0).random((8, 1, 8, 8, 3), np.float32)
        converter.representative_dataset = lambda: ([picture] for picture in pictures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


def flexible(path: Path) -> Path:
    """With an operator of TensorFlow itself, which LiteRT alone does not have."""
    made = tf.function(lambda x: tf.linalg.inv(x), input_signature=[tf.TensorSpec([4, 4], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([made.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path.write_bytes(converter.convert())
    return path
