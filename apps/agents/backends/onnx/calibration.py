"""Ranges of activations, observed on calibration examples that pass through the model one batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    CalibrationMethod,
    create_calibrator,
    save_tensors_data,
)

from apps.agents.backends.onnx import runtime
from apps.agents.measuring.engine import Feeds

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class Ranges:
    """The file with the ranges, and the tensors that contained an infinity or NaN, which 8 bits cannot represent."""

    cache: Path
    endless: frozenset[str]


class OneBatch(CalibrationDataReader):  # type: ignore[misc]
    """A single batch. Histogram methods keep all intermediate tensors of one reader in memory."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds: dict[str, object] | None = dict(feeds)

    def get_next(self) -> dict[str, object] | None:
        feeds, self._feeds = self._feeds, None
        return feeds


def write_ranges(
    model: Path,
    operators: Sequence[str],
    batches: Iterable[Feeds],
    *,
    method: str,
    symmetric: bool,
    threads: int,
    folder: Path,
    external: bool,
) -> Ranges:
    """Run `batches` through `model` and write the ranges of the operators' tensors to a cache that quantization reads.

    `method` is `minmax`, `entropy` (minimum Kullback-Leibler divergence of the rounded distribution) or `percentile`
    (99.999 % of the values). With `symmetric`, every range is centred on zero. One batch's tensors are in memory.
    """
    calibrator = create_calibrator(
        model,
        list(operators),
        augmented_model_path=str(folder / "calibrated.onnx"),
        calibrate_method=METHODS[method],
        use_external_data_format=external,
        # The library centres percentiles on zero by default, which wastes a bit on every ReLU.
        extra_options={"symmetric": symmetric},
    )
    # The library's own session would take all cores. This one takes the job's threads, so that sums are reproducible.
    options = runtime.session_options(threads, optimize=False)
    calibrator.infer_session = ort.InferenceSession(
        str(folder / "calibrated.onnx"), options, providers=["CPUExecutionProvider"]
    )
    for feeds in batches:
        calibrator.collect_data(OneBatch(feeds))
    found = calibrator.compute_data()
    cache = folder / "ranges.json"
    save_tensors_data(found, cache)
    endless = {name for name, data in found.items() if not np.isfinite(data.range_value).all()}
    return Ranges(cache, frozenset(endless))
