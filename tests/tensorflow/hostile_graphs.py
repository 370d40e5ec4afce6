"""SavedModels that are altered after they were written: what the tests on hostile ones start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from apps.agents.backends.tensorflow.inspection import inspect
from apps.agents.contracts.errors.tensorflow_models import GraphTouchesFiles
from tests.tensorflow import uploads

Meta = Any


def altered(folder: Path, change: Callable[[Meta], object]) -> Path:
    """The SavedModel in `folder` with its meta graph changed in place."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())
    return folder


def refused(folder: Path, tmp_path: Path, operator: str) -> str:
    """The sentence by which the zipped folder is refused."""
    with pytest.raises(GraphTouchesFiles, match=rf"operator {operator} ") as caught:
        inspect(uploads.zipped(folder), tmp_path)
    return caught.value.message


def written(x: Any, place: str) -> Any:
    with tf.control_dependencies([tf.io.write_file(place, tf.strings.as_string(x)[0])]):
        return tf.identity(x)
