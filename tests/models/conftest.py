"""Files for the store, and a store of each test's own."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from onnx import TensorProto, helper
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.models import services
from apps.models.models import DataSet, InspectionStatus, ModelMetadata, ModelVersion, RegisteredModel


@pytest.fixture(autouse=True)
def files(settings: Any, tmp_path: Path) -> Path:
    """The folder of this test's own store."""
    root = tmp_path / "files"
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(root)}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return root


@pytest.fixture
def remote_files(settings: Any, files: Path) -> None:
    """A store that has no paths, as an object store has none."""
    storage = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "default": storage}


def linear_model(features: int = 4, classes: int = 3) -> bytes:
    """An ONNX model: one matrix product."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, (features, classes), [0.5] * (features * classes))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["scores"], name="product")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", features))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("N", classes))],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tests")
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def onnx_bytes() -> bytes:
    return linear_model()


@pytest.fixture
def npz_bytes() -> bytes:
    """Forty examples for the linear model, written without numpy."""
    return npz({"x": ("<f4", (40, 4)), "y": ("<i8", (40,))})


def npz(arrays: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """Arrays of zeros."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, (descr, shape) in arrays.items():
            header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
            size = int(descr[2:])
            for length in shape:
                size *= length
            archive.writestr(
                f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\x00" * size
            )
    return sink.getvalue()


def upload_of(data: bytes, name: str = "model.onnx") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


SPEC = {"kind": "npz", "task": "classification"}


@pytest.fixture
def model(team: Team, engineer: User) -> RegisteredModel:
    return services.register_model(team, engineer, "Fashion classifier", "A small one", ["vision", "cnn"])


@pytest.fixture
def make_version(model: RegisteredModel, engineer: User) -> Callable[..., ModelVersion]:
    """Versions of `model` as they stand after their check; each `size` is another file."""

    def make(size: int = 3, *, status: InspectionStatus = InspectionStatus.READY, **fields: Any) -> ModelVersion:
        version = services.add_version(model, engineer, file=upload_of(linear_model(classes=size)), **fields)
        ModelVersion.objects.filter(pk=version.pk).update(status=status)
        version.refresh_from_db()
        return version

    return make


@pytest.fixture
def version(make_version: Callable[..., ModelVersion]) -> ModelVersion:
    return make_version()


@pytest.fixture
def dataset(team: Team, engineer: User, npz_bytes: bytes) -> DataSet:
    return services.add_dataset(team, engineer, "Test images", SPEC, file=upload_of(npz_bytes, "test.npz"))


@pytest.fixture
def browse(client: Client) -> Callable[[User], Client]:
    """The browser of somebody who is logged in."""

    def logged_in(user: User) -> Client:
        client.force_login(user)
        return client

    return logged_in


@pytest.fixture
def api() -> Callable[[User], APIClient]:
    def authenticated(user: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return authenticated


def metadata_of(version: ModelVersion) -> dict[str, Any]:
    metadata = ModelMetadata.objects.get(version=version)
    return json.loads(metadata.summary.model_dump_json())
