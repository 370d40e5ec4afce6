"""Model files as protobufs. `open_model` and what counts bytes need no ONNX library (`apps.agents.files`)."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from apps.agents.contracts.errors.models import ModelMalformed
from apps.agents.files.onnx_opening import external_locations, model_files, open_model, size_bytes, used_bytes

__all__ = [
    "bring_inside",
    "external_locations",
    "load_proto",
    "model_files",
    "open_model",
    "size_bytes",
    "used_bytes",
]


def load_proto(model: Path, *, weights: bool = True) -> onnx.ModelProto:
    """The opened model as a protobuf. Without `weights`, external data is not loaded.
    Raises `ModelMalformed` if protobuf cannot parse the file.
    """
    try:
        return onnx.load(str(model), load_external_data=weights)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ModelMalformed(reason=f"protobuf cannot parse it ({error})") from error


def bring_inside(tensor: onnx.TensorProto, folder: Path) -> None:
    """Load a tensor's external data, if any, from `folder` into the tensor itself."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
