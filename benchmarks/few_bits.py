"""What careful rounding to 4 bits wins on two real models: rounding to nearest, GPTQ and AdaRound side by side.

    python -m benchmarks.few_bits magika minilm

magika names the types of this Python's files: a fifth of them, without labels, calibrate, and the others are measured.
MiniLM, as published, judges how alike two words are: 256 sentences of Wikipedia calibrate, and it is measured by
Spearman's correlation with people's judgement of 353 pairs. `likeness` is the cosine of outputs to those of the float
model: probabilities of the same files, or embeddings of 200 other sentences. "Against nearest" is the paired
difference to rounding to nearest in the same kind of storage, with its 95 % interval by a bootstrap over files or
pairs. Exit 0 if GPTQ is nowhere worse than rounding to nearest: its likeness is at least as high, and no interval lies
below zero. Models and texts come from the tests' assets. On one core, MiniLM takes a quarter of an hour without
AdaRound (`--roundings`). Memory: 2 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from apps.agents.backends.onnx.runtime import open_session
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from benchmarks import links, narrow_minilm
from tests.assets import models

Floats = NDArray[np.float64]
Link = tuple[str, dict[str, Any]]
SAMPLES = 1000
"""Of a bootstrap."""
BITS = 4
SENTENCES = 1280
"""A fifth of them calibrate."""
ROUNDINGS = ("nearest, biases corrected", "GPTQ", "AdaRound")
LOW, CHANNELS = "onnx-low-bits", "one scale per channel"
STORED: Link = (LOW, {"bits": BITS})
NEAREST: Link = (LOW, {"bits": BITS, "correct_biases": False})
BLOCKS, BLOCK = "blocks of 32", {"bits": BITS, "block_size": 32}


@dataclass(frozen=True)
class Way:
    """A chain of techniques that ends with weights stored in 4 bits."""

    storage: str
    rounding: str
    chain: tuple[Link, ...]


IN_CHANNELS = (
    Way(CHANNELS, "nearest", (NEAREST,)),
    Way(CHANNELS, "nearest, biases corrected", (STORED,)),
    Way(CHANNELS, "GPTQ", (("onnx-gptq", {"bits": BITS}), STORED)),
    Way(CHANNELS, "AdaRound", (("onnx-adaround", {"bits": BITS}), STORED)),
)
IN_BLOCKS = (
    Way(BLOCKS, "nearest", (("onnx-weight-only", BLOCK),)),
    Way(BLOCKS, "GPTQ", (("onnx-gptq", BLOCK), ("onnx-weight-only", BLOCK))),
)


@dataclass(frozen=True)
class Measured:
    """A number for each file or pair, and the likeness of each output that is compared with the original's."""

    values: Floats
    outputs: Floats

    def likeness(self, original: Measured) -> float:
        products = (self.outputs * original.outputs).sum(1)
        lengths = np.linalg.norm(self.outputs, axis=1) * np.linalg.norm(original.outputs, axis=1)
        return float((products / lengths).mean())


@dataclass(frozen=True)
class Subject:
    """A model, what is done to it, and how it is measured."""

    name: str
    metric: str
    original: Path
    ways: tuple[Way, ...]
    apply: Callable[..., Path]
    """From a technique, a model, its format and parameters."""
    measure: Callable[[Path], Measured]
    score: Callable[[Floats, NDArray[np.int64]], float]
    """The metric of the values at some indices."""

    def score_of(self, found: Measured) -> float:
        return self.score(found.values, np.arange(len(found.values)))

    def against(self, found: Measured, nearest: Measured) -> tuple[float, float, float]:
        """The paired difference and its 95 % interval."""
        random, count = np.random.default_rng(0), len(found.values)
        draws = [random.integers(0, count, count) for _ in range(SAMPLES)]
        differences = [self.score(found.values, one) - self.score(nearest.values, one) for one in draws]
        low, high = np.quantile(differences, (0.025, 0.975))
        return self.score_of(found) - self.score_of(nearest), float(low), float(high)


def magika(folder: Path) -> Subject:
    asset, spec = models.magika_onnx(), DatasetSpec(kind="npz", task="classification")
    inputs = open_engine(Format.ONNX, asset.model, folder).summary.inputs
    dataset = load_dataset(asset.data, spec, inputs, 0, scratch=folder)
    batches = [*dataset.choosing(50), *dataset.evaluation(50)]
    labels = np.concatenate([np.asarray(given) for _, given in batches])

    def measure(model: Path) -> Measured:
        session = open_session(model)
        outputs = np.concatenate([np.asarray(session.run(None, dict(feeds))[0], np.float64) for feeds, _ in batches])
        return Measured(100.0 * (outputs.argmax(1) == labels), outputs)

    shop = links.Shop(folder, asset.data, spec, ModelFile(format=Format.ONNX, path=asset.model))
    metric = f"% right of {len(labels)} files"
    return Subject("magika", metric, asset.model, IN_CHANNELS, shop.apply, measure, _mean)


def _mean(values: Floats, chosen: NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def minilm(folder: Path) -> Subject:
    texts = list(islice(narrow_minilm.sentences(), narrow_minilm.HELD_OUT + SENTENCES))
    held_out, seen = texts[: narrow_minilm.HELD_OUT], texts[narrow_minilm.HELD_OUT :]
    shop = narrow_minilm.Shop(folder, seen, training_share=0.0)
    encoder = shop.load(shop.original).encoder
    pairs, people = narrow_minilm.word_pairs()

    def measure(model: Path) -> Measured:
        read = narrow_minilm.OnnxReader(open_session(model), encoder)
        left, right = (narrow_minilm.embeddings(read, side) for side in pairs)
        return Measured((left * right).sum(1), narrow_minilm.embeddings(read, held_out))

    def score(values: Floats, chosen: NDArray[np.int64]) -> float:
        return float(scipy.stats.spearmanr(values[chosen], people[chosen]).statistic)

    exported = shop.apply("onnx-export", shop.original)
    return Subject("MiniLM", "Spearman", exported, IN_BLOCKS + IN_CHANNELS, shop.apply, measure, score)


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"magika": magika, "minilm": minilm}


def table(subject: Subject, worse: list[str]) -> Iterator[str]:
    """Row by row. What GPTQ does worse than rounding to nearest is added to `worse`."""
    print(f"\n{subject.name}, weights in {BITS} bits:\n", flush=True)
    yield f"| weights | rounding | {subject.metric} | against nearest | likeness | times smaller | CPU s |"
    yield "|---|---|---|---|---|---|---|"
    original, nearest = subject.measure(subject.original), dict[str, Measured]()
    yield f"| float | | {subject.score_of(original):.3f} | | 1 | 1.0 | |"
    for way in subject.ways:
        started, made = time.process_time(), subject.original
        for technique, parameters in way.chain:
            with redirect_stdout(sys.stderr):
                made = subject.apply(technique, made, Format.ONNX, **parameters)
        seconds, found = time.process_time() - started, subject.measure(made)
        base = nearest.setdefault(way.storage, found)
        difference, low, high = subject.against(found, base)
        likeness, smaller = found.likeness(original), subject.original.stat().st_size / made.stat().st_size
        if way.rounding == "GPTQ" and (high < 0 or likeness < base.likeness(original)):
            worse.append(f"{subject.name}, {way.storage}")
        against = "" if found is base else f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"
        cells = f"{subject.score_of(found):.3f} | {against} | {likeness:.4f} | {smaller:.1f} | {seconds:.0f}"
        yield f"| {way.storage} | {way.rounding} | {cells} |"


def report(names: Iterable[str], roundings: Sequence[str]) -> list[str]:
    """Print the tables. Returns where GPTQ is worse than rounding to nearest."""
    worse: list[str] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="few-bits-") as folder:
            subject = SUBJECTS[name](Path(folder))
            ways = tuple(way for way in subject.ways if way.rounding in ("nearest", *roundings))
            for line in table(replace(subject, ways=ways), worse):
                print(line, flush=True)
    return worse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), choices=SUBJECTS)
    parser.add_argument("--roundings", nargs="+", default=ROUNDINGS, choices=ROUNDINGS, help="beside nearest (all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    worse = report(arguments.subjects, arguments.roundings)
    print(f"\nGPTQ is worse than rounding to nearest: {', '.join(worse) or 'nowhere'}.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
