"""What installations have stored survives the store's migrations, forwards and backwards."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.agents.contracts.reports.model import CodeFile, ModelSummary, Signature, TensorSpec
from apps.models.models import ModelMetadata, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 32, 32))
SUMMARY = ModelSummary(
    format="onnx",
    producer="pytorch 2.13",
    opset=18,
    inputs=(IMAGE,),
    outputs=(TensorSpec(name="scores", dtype="float32", shape=("batch", 10)),),
    parameters=1234,
    size_bytes=5678,
    operators={"Conv": 3},
    weight_dtypes={"float32": 1234},
    weights=(TensorSpec(name="w", dtype="float32", shape=(3, 4)),),
    quantization="bitsandbytes nf4",
    code=(CodeFile(name="model.py", text="class Net: ..."),),
    signature="serving",
    signatures=(Signature(name="serving", inputs=(IMAGE,), outputs=()),),
    notes=("Shapes stay unknown.",),
)


def migrate(name: str) -> None:
    MigrationExecutor(connection).migrate([("models", name)])


def latest() -> None:
    """All apps, as the way back takes along what stands on it in others."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_metadata_in_columns_becomes_json_and_comes_back(version: ModelVersion) -> None:
    ModelMetadata.record(version, SUMMARY)
    try:
        migrate("0007_damaged_files")
        with connection.cursor() as cursor:
            cursor.execute("SELECT producer, opset, signature, quantization FROM models_modelmetadata")
            assert cursor.fetchall() == [("pytorch 2.13", 18, "serving", "bitsandbytes nf4")]
    finally:
        latest()
    assert ModelMetadata.objects.get(version=version).summary == SUMMARY
    assert ModelMetadata.objects.in_short().get().body["producer"] == "pytorch 2.13"
