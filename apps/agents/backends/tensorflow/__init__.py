"""Models of TensorFlow and Keras: `.keras`, `.h5` and SavedModel.

Every module that imports this package imports TensorFlow later, so the environment variables it reads are set here.

Keras and tf_keras import all of pandas and parts of SciPy. Pandas is hidden from them, because they never receive a
data frame here. tf_keras imports SciPy late, because it only distorts pictures with it.
"""

from __future__ import annotations

import os

from apps.agents.sandbox import late_imports

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
"""TensorFlow's C++ side logs every probe for a missing device."""
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
"""One operator at a time, as in every runtime measured here."""

late_imports.install(
    {
        "keras.src.trainers.data_adapters.array_slicing": {"pandas": late_imports.HIDDEN},
        "tf_keras.src.engine.data_adapter": {"pandas": late_imports.HIDDEN},
        "tf_keras.src.preprocessing.image": {"scipy.linalg": (), "scipy.ndimage": ()},
    }
)
