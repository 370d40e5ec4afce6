"""Models of TensorFlow and Keras: `.keras`, `.h5` and SavedModel.

Every module that imports this package imports TensorFlow later, so the environment variables it reads are set here.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
"""TensorFlow's C++ side logs every probe for a missing device."""
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
"""One operator at a time, as in every runtime measured here."""
