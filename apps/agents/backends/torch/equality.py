"""Checks that an exported model computes the same as the original, for several sizes of its free axes and with padding.

Both receive the same examples. ONNX Runtime runs as users run it, on a CPU with all its optimizations. Values at
positions that the attention mask hides are not compared, because nothing reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.datasets.layout import FIRST, Layout
from apps.agents.measuring.engine import Array, Feeds, Outputs

MASK = "attention_mask"
LARGEST_ERROR = 1e-3
"""Relative to the output's largest number: far above the effect of reordered float32 sums, far below a wrong result."""
SAME_INTEGERS = 0.999
"""Minimum share of equal integers: an argmax of two almost equal numbers may change."""
_ERRORS_ONLY = 3
_OWN = (RuntimeError, ValueError, IndexError, TypeError)
"""A model's errors for sizes that it does not accept."""


@dataclass(frozen=True)
class Case:
    title: str
    feeds: Feeds
    outputs: Outputs
    """The original's outputs."""


@dataclass
class Agreement:
    """The result over all cases: errors of floats that count, in the outputs' own unit."""

    cases: int = 0
    max_error: float = 0.0
    total_error: float = 0.0
    numbers: int = 0

    @property
    def sentence(self) -> str:
        mean = self.total_error / max(1, self.numbers)
        return (
            f"In ONNX Runtime its outputs match the original's on {self.cases} batches of several sizes: they differ "
            "by "
            f"at most {self.max_error:.2g} and by {mean:.2g} on average."
        )


class Differs(Exception):
    """Raised with the end of a sentence as the reason."""


def cases_of(model: TorchModel, feeds: Feeds, layout: Layout = FIRST) -> list[Case]:
    """The original's outputs for `feeds` in several sizes. Sizes that the original does not accept are skipped."""
    found = []
    for title, sized in _sizes(model.summary, feeds, layout):
        try:
            outputs = model.run(sized)
        except _OWN:
            continue
        found.append(Case(title, sized, outputs))
    return found


def compare(file: Path, cases: list[Case], names: list[str]) -> Agreement:
    """Compare the ONNX model in `file` with `cases`. Raises `Differs`."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = 1
    found = Agreement()
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        for case in cases:
            _add(found, case, session.run(names, dict(case.feeds)), names)
    except Differs:
        raise
    except Exception as error:  # The runtime's errors do not have a common base class.
        raise Differs(f"ONNX Runtime refuses it: {' '.join(str(error).split())[:300]}") from error
    return found


def _add(found: Agreement, case: Case, outputs: Outputs, names: list[str]) -> None:
    found.cases += 1
    for name, wanted, got in zip(names, case.outputs, outputs, strict=True):
        where = f"output {name!r} on {case.title}"
        if wanted.shape != got.shape:
            raise Differs(f"{where} has the shape {list(got.shape)} instead of {list(wanted.shape)}")
        if wanted.dtype.kind != "f":
            if wanted.size and float(np.mean(wanted == got)) < SAME_INTEGERS:
                raise Differs(f"{where} is different")
            continue
        a, b = _read(wanted, case.feeds), _read(got, case.feeds)
        _add_floats(found, a.astype(np.float64), b.astype(np.float64), where)


def _add_floats(found: Agreement, wanted: Array, got: Array, where: str) -> None:
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(got)):
        raise Differs(f"{where} is not finite in different places")
    errors = np.abs(wanted[finite].astype(np.float64) - got[finite].astype(np.float64))
    largest = float(errors.max(initial=0.0))
    mean = float(errors.mean()) if errors.size else 0.0
    found.max_error = max(found.max_error, largest)
    found.total_error += float(errors.sum())
    found.numbers += errors.size
    if largest > LARGEST_ERROR * max(1e-3, float(np.abs(wanted[finite]).max(initial=0.0))):
        raise Differs(f"{where} differs by up to {largest:.3g} ({mean:.3g} on average)")


def _read(output: Array, feeds: Feeds) -> Array:
    """The rows of positions that the attention mask shows, if the output has positions."""
    mask = feeds.get(MASK)
    if mask is None or mask.ndim != 2 or output.shape[:2] != mask.shape:
        return output
    shown: Array = output[mask.astype(bool)]
    return shown


def _sizes(summary: ModelSummary, feeds: Feeds, layout: Layout) -> Iterator[tuple[str, Feeds]]:
    rows = layout.rows(feeds)
    yield f"{rows} examples", feeds
    if layout.fixed_batch(summary.inputs) is None:
        yield "1 example", layout.take(feeds, [0])
    for share in (2, 3):
        shorter = _shortened(summary, feeds, layout, share)
        if any(shorter[name].shape != feeds[name].shape for name in feeds):
            yield f"{rows} examples of a {'half' if share == 2 else 'third'} of their length", shorter
    mask = feeds.get(MASK)
    if mask is not None and mask.ndim == 2 and mask.shape[1] > 2:
        for side in ("right", "left"):
            yield f"rows with padding on the {side}", {**feeds, MASK: _padded(mask, side)}


def _shortened(summary: ModelSummary, feeds: Feeds, layout: Layout, share: int) -> dict[str, Array]:
    """Free axes, except the batch axis, cut to a fraction of their length."""
    found = dict(feeds)
    for spec in summary.inputs:
        array = found[spec.name]
        for place, axis in enumerate(spec.shape):
            if not isinstance(axis, int) and place != layout.axis(spec.name):
                array = np.take(array, np.arange(-(-array.shape[place] // share)), axis=place)
        found[spec.name] = array
    return found


def _padded(mask: Array, side: str) -> Array:
    """The mask with a third hidden in every second row that shows all its tokens.

    Other rows are unchanged: if a model finds a row's end by its tokens, that end must not be hidden.
    """
    hidden = max(1, mask.shape[1] // 3)
    made, chosen = mask.copy(), np.flatnonzero(mask.all(axis=1))[::2]
    made[chosen, slice(-hidden, None) if side == "right" else slice(hidden)] = 0
    return made
