"""The model's files of a package as a compressed download, for sessions whose criteria count that."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from apps.agents.files.compressed_size import Coding, compressed_sizes, read_zstandard, write_zstandard
from apps.agents.files.digest import digest_of

SUFFIX = ".zst"


def compress_models(models: Iterable[Path]) -> dict[Path, Path]:
    """Writes each file that Zstandard makes smaller than the zip's DEFLATE does beside itself, with `SUFFIX`.

    By file: what was written. Raises `RuntimeError` if a file is not restored bit for bit, so that no package is
    delivered whose model cannot be had back.
    """
    written = {}
    for model in models:
        sizes = compressed_sizes(model)
        if sizes[Coding.ZSTANDARD] < min(sizes[Coding.DEFLATE], model.stat().st_size):
            written[model] = write_zstandard(model, model.with_name(f"{model.name}{SUFFIX}"))
            _check_restored(model, written[model])
    return written


def _check_restored(model: Path, small: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=model.parent.parent, prefix="restored-") as restored:
        read_zstandard(small, restored.file)
        restored.flush()
        if digest_of(Path(restored.name)) != digest_of(model):
            raise RuntimeError(f"{small.name} does not restore {model.name} bit for bit")
