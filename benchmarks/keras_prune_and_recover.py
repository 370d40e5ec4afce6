"""How small and fast a Keras network becomes when it is pruned, trained again, exported to LiteRT and quantized.

    python -m benchmarks.keras_prune_and_recover --steps 600

The network is a CNN for CIFAR-10 from the package index (0.97 million parameters, 57 million multiply-accumulates). The
bar: at least 5 times smaller and 4 times faster than its float export to LiteRT at a loss of at most one point. Every
link is applied by its technique, as a session does it. Pruning and training see the first 10,000 training pictures,
most of which the network was trained on; accuracy is that of all 10,000 test pictures, which no technique sees. Speed
is the median CPU time of one thread on one picture, original and result in turns. The last line is what the bar is
held against. Memory: 2 GB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.measuring.engine import Run, open_engine
from apps.agents.measuring.protocol import ModelFile
from benchmarks.links import Shop
from tests.assets.models import cifar10_cnn_keras, cifar10_pictures

FASTER, SMALLER, POINTS = 4.0, 5.0, 1.0
"""The bar."""
ROUNDS = 300
SEED = 0
IMAGE = "conv2d_input"


@dataclass
class Judge:
    """Compares TensorFlow Lite files with the float export of the original, `whole`."""

    scratch: Path
    whole: Path

    def row(self, name: str, path: Path) -> tuple[str, bool]:
        """A line of the table, and whether the bar is met."""
        smaller, gain = self.whole.stat().st_size / path.stat().st_size, self._faster(path)
        found = self.accuracy(path)
        lost = self._base - found
        met = gain >= FASTER and smaller >= SMALLER and lost <= POINTS
        return f"| {name} | {found:.2f} | {smaller:.1f} | {gain:.1f} |", met

    @cached_property
    def _base(self) -> float:
        return self.accuracy(self.whole)

    def accuracy(self, path: Path) -> float:
        """In per cent."""
        data, run = np.load(cifar10_pictures("test")), self._run(path)
        images, labels = data[IMAGE], data["y"]
        right = sum(
            int((run({IMAGE: images[at : at + 250]})[0].argmax(1) == labels[at : at + 250]).sum())
            for at in range(0, len(labels), 250)
        )
        return 100 * right / len(labels)

    def _faster(self, path: Path) -> float:
        image = np.load(cifar10_pictures("test"))[IMAGE][:1]
        runs, times = [self._run(self.whole), self._run(path)], ([], [])
        for _ in range(ROUNDS):
            for run, taken in zip(runs, times, strict=True):
                taken.append(_seconds(lambda run=run: run({IMAGE: image})))
        return statistics.median(times[0]) / statistics.median(times[1])

    def _run(self, path: Path) -> Run:
        return open_engine(Format.TFLITE, path, self.scratch).session(Target())


def _seconds(call: Callable[[], object]) -> float:
    """CPU time of a second call: the first fills the caches."""
    call()
    before = time.thread_time()
    call()
    return time.thread_time() - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for the training (default: 10)")
    parser.add_argument("--steps", type=int, default=0, help="of the training, instead of minutes")
    parser.add_argument("--removed", type=float, default=0.5, help="share of the multiply-accumulates (0.5)")
    parser.add_argument("--weights-removed", type=float, default=0.5, help="share of the kernels' numbers (0.5)")
    parser.add_argument("--training-share", type=float, default=0.7, help="of the training pictures (0.7)")
    parser.add_argument("--learning-rate", type=float, default=0.0003)
    parser.add_argument("--distill", type=float, default=0.5)
    parser.add_argument("--mirror", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keras-prune-") as name:
        folder, original = Path(name), cifar10_cnn_keras()
        spec = DatasetSpec(kind="npz", task="classification", training_share=given.training_share)
        shop = Shop(folder, cifar10_pictures("training"), spec, ModelFile(format=Format.KERAS, path=original))
        whole = shop.apply("litert-export", original, Format.KERAS)
        cut = shop.apply(
            "keras-prune",
            original,
            Format.KERAS,
            macs_removed=given.removed,
            weights_removed=given.weights_removed,
        )
        learned = shop.apply(
            "keras-recover",
            cut,
            Format.KERAS,
            minutes=given.minutes,
            steps=given.steps,
            distill=given.distill,
            learning_rate=given.learning_rate,
            mirror=given.mirror,
        )
        floats = {"pruned": cut, "pruned and trained": learned}
        exported = {name: shop.apply("litert-export", path, Format.KERAS) for name, path in floats.items()}
        last = exported["pruned and trained"]
        kept = {"keep_float_operators": ["MUL", "ADD"]}
        results = {
            "original": whole,
            "static int8": shop.apply("litert-static", whole, Format.TFLITE, **kept),
            "dynamic int8": shop.apply("litert-dynamic", whole, Format.TFLITE),
            **exported,
            "pruned, trained, static int8": shop.apply("litert-static", last, Format.TFLITE, **kept),
            "pruned, trained, dynamic int8": shop.apply("litert-dynamic", last, Format.TFLITE),
        }
        print("| model | accuracy % | times smaller | times faster |\n|---|---|---|---|")
        judge, met = Judge(folder, whole), False
        for name, path in results.items():
            line, met = judge.row(name, path)
            print(line, flush=True)
        print("The bar is met." if met else "The bar is not met.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
