"""Models of TensorFlow and Keras: `.keras`, `.h5` and SavedModel.

Whatever imports this package imports TensorFlow later, so what it reads from the environment is set here.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
"""Its C++ side logs every probe for a device that is not there."""
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
"""One operator at a time, as every runtime here is measured."""
