"""TensorFlow's converter to LiteRT with its documented kinds of post-training quantization. Option: `kind`.

https://ai.google.dev/edge/litert/models/post_training_quantization
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    kind = job.options["kind"]
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(job.model, compile=False))
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: representative(job)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    artifact = job.folder / "model.tflite"
    artifact.write_bytes(converter.convert())
    job.done(artifact, "tflite", "tensorflow")


def representative(job: Job) -> Iterator[list[Any]]:
    for feeds in job.feeds():
        yield list(feeds.values())


if __name__ == "__main__":
    make(asked())
