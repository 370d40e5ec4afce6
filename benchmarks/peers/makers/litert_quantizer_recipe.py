"""litert-quantizer's dynamic int8 recipe on the float model that TensorFlow's converter makes.

https://pypi.org/project/litert-quantizer/
"""

from __future__ import annotations

import keras
import tensorflow as tf
from litert_quantizer import quantizer, recipe

from benchmarks.peers.makers.job import Job, asked


def make(job: Job) -> None:
    source = job.folder / "float.tflite"
    model = keras.models.load_model(job.model, compile=False)
    source.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    artifact = job.folder / "model.tflite"
    quantizer.Quantizer(str(source), recipe.dynamic_wi8_afp32()).quantize().export_model(str(artifact))
    job.done(artifact, "tflite", "litert-quantizer", "tensorflow")


if __name__ == "__main__":
    make(asked())
