"""Models of TensorFlow and Keras: `.keras`, `.h5` and SavedModel.

Whatever imports this package imports TensorFlow later, so what it reads from the environment is set here.

Keras and tf_keras import pandas and parts of SciPy with everything they have. They do without pandas, for they
never get a data frame here, and tf_keras gets SciPy late, for it only distorts pictures with it.
"""

from __future__ import annotations

import os

from apps.agents.sandbox import late_imports

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
"""Its C++ side logs every probe for a device that is not there."""
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
"""One operator at a time, as every runtime here is measured."""

late_imports.install(
    {
        "keras.src.trainers.data_adapters.array_slicing": {"pandas": late_imports.HIDDEN},
        "tf_keras.src.engine.data_adapter": {"pandas": late_imports.HIDDEN},
        "tf_keras.src.preprocessing.image": {"scipy.linalg": (), "scipy.ndimage": ()},
    }
)
