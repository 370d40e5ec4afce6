"""What structured pruning without training costs and wins on the samples: accuracy, size and speed, table by table.

    python -m benchmarks.pruning --data usr/share/datasets/fashion-mnist --model fashion_resnet 0.5 0.6 0.7

`--data` is what Debian's `dataset-fashion-mnist` unpacks to (samples/README.md). 512 training pictures, without their
labels, are what the pruning sees; accuracy is on all 10,000 test pictures. Speed is the ratio of median CPU times of
one thread at batch 1, original and candidate in turns.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.agents.backends.onnx.runtime import open_session
from tests.agents.workshop import FIDELITY, SAMPLES, Workshop

SEEN = 512
RUNS = 400
LARGEST_SHARE = 5
"""A data set sets a fifth of its examples apart for calibration."""


def pictures(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [n, 1, 28, 28] and labels of `train` or `t10k`."""
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def accuracy(model: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Per cent of the pictures that the model names rightly."""
    session, right = open_session(model), 0
    for start in range(0, len(images), 500):
        (logits,) = session.run(None, {"image": images[start : start + 500].astype(np.float32)})
        right += int((logits.argmax(1) == labels[start : start + 500]).sum())
    return 100 * right / len(images)


def speedup(original: Path, candidate: Path, example: NDArray[np.float32]) -> float:
    """The ratio of the medians of CPU time."""
    sessions = [open_session(path, threads=1) for path in (original, candidate)]
    times: list[list[int]] = [[], []]
    for _ in range(RUNS):
        for session, taken in zip(sessions, times, strict=True):
            start = time.thread_time_ns()
            session.run(None, {"image": example})
            taken.append(time.thread_time_ns() - start)
    before, after = (float(np.median(taken[RUNS // 10 :])) for taken in times)
    return before / after


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """One line for the original, its int8, and for each share the pruned model and its int8."""
    original = SAMPLES / f"{arguments.model}.onnx"
    seen, _ = pictures(arguments.data, "train")
    images, labels = pictures(arguments.data, "t10k")
    chosen = np.random.default_rng(0).permutation(len(seen))[: SEEN * LARGEST_SHARE]
    shop = Workshop(folder)
    data = shop.examples(image=seen[chosen])

    def row(name: str, path: Path, removed: float) -> str:
        ratio = original.stat().st_size / path.stat().st_size
        faster = speedup(original, path, images[:1].astype(np.float32))
        return f"| {name} | {removed:.1%} | {accuracy(path, images, labels):.2f} | {ratio:.1f} | {faster:.2f} |"

    yield "| model | work removed | accuracy % | times smaller | times faster |\n|---|---|---|---|---|"
    yield row("original", original, 0.0)
    yield row("int8", shop.apply("onnx-static-int8", original, data, FIDELITY).artifact, 0.0)
    for share in arguments.shares:
        made = shop.apply("onnx-prune", original, data, FIDELITY, macs_removed=share, multiple_of=arguments.multiple_of)
        removed = float(made.result.evidence["macs_removed"])
        yield row(f"pruned, {share:.0%} asked for", made.artifact, removed)
        small = shop.apply("onnx-static-int8", made.artifact, data, FIDELITY)
        yield row("the same, then int8", small.artifact, removed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shares", nargs="+", type=float, help="shares of the multiply-accumulates to remove")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="fashion_resnet", choices=("fashion_resnet", "fashion_mobilenet"))
    parser.add_argument("--multiple-of", type=int, default=16, choices=(1, 8, 16))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in rows(arguments, Path(folder)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
