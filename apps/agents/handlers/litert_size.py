"""The bytes of the original and of a candidate as TensorFlow Lite, for criteria that count them."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.formats import Format, format_spec
from apps.agents.handlers.material import Material
from apps.agents.measuring.engine import Engine, open_engine
from apps.agents.measuring.protocol import ModelFile

if TYPE_CHECKING:
    from apps.agents.sandbox.child import JobContext


def litert_bytes(
    context: JobContext, material: Material, candidate: Engine, counted: CountedSize
) -> tuple[int, int] | None:
    """Of both models; `None` if another size is `counted`. A TensorFlow Lite file counts as it is, others are exported.

    Raises the errors of the export, and `ValueError` for a format that has none, which no plan contains.
    """
    if counted is not CountedSize.TFLITE:
        return None
    context.progress(0.0, "Exporting to TensorFlow Lite to count the size")
    original = _bytes(material.original_file, material.original, material.scratch)
    return original, _bytes(material.file, candidate, material.scratch)


def _bytes(file: ModelFile, engine: Engine, scratch: Path) -> int:
    if file.format == Format.TFLITE:
        return engine.summary.size_bytes
    path = format_spec(file.format).as_litert
    if path is None:
        raise ValueError(f"a model in the format {file.format} has no size as TensorFlow Lite")
    module, _, name = path.partition(":")
    folder = Path(tempfile.mkdtemp(prefix="litert-", dir=scratch))
    made: Path = getattr(import_module(module), name)(file.path, folder, file.signature)
    return open_engine(Format.TFLITE, made, folder).summary.size_bytes
