"""The CIFAR-10 network in the formats that Keras 3 writes; run as a module, in a process of its own.

    python -m tests.assets.keras_formats cnn_model.h5 OUT

Writes `model.keras` and the SavedModel folder `saved_model`, both without the state of the optimizer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import keras


def main() -> None:
    stored, out = map(Path, sys.argv[1:])
    model = keras.models.load_model(stored, compile=False)
    model.save(out / "model.keras")
    model.export(out / "saved_model", verbose=False)


if __name__ == "__main__":
    main()
