"""How fast MiniLM becomes when its feed-forward blocks are narrowed, and what that costs.

    python -m benchmarks.narrow_minilm 0.3 0.5 --sentences 2000 --steps 300

The bar: without 30 % of the features or more, at least 1.25 times faster, with Spearman's correlation on word pairs
(wordsim353) within 0.05 by compensation alone and within 0.02 once distilled from the original on unlabelled text.
That text is sentences of Wikipedia; no technique sees a word pair. `likeness` is the mean cosine to the original's
embeddings of held-out sentences. Speed is the ratio of median CPU times of one thread on one sentence, original and
candidate in turns, in PyTorch and, both exported, in ONNX Runtime. The text comes from the tests' assets.
Memory: 2 GB.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import scipy
import torch

from apps.agents.backends.onnx import runtime
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.text import TextEncoder
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import Feeds, Outputs, open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, agent_for, spec_of
from benchmarks.links import Teller
from benchmarks.prune_and_recover import session_of
from tests.assets import models, packages, wikipedia
from tests.assets.fetch import fetch

FASTER, COMPENSATED, RECOVERED = 1.25, 0.05, 0.02
"""The bar."""
TRAINING_SHARE = 0.7
HELD_OUT = 200
ROUNDS = 150
LENGTHS = 20, 300
"""Of a sentence, in characters."""
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def sentences() -> Iterator[str]:
    with gzip.open(fetch(packages.ENWIK8)["enwik8.gz"]) as stream:
        markup = stream.read(wikipedia.READ_BYTES).decode("utf-8", "ignore")
    for paragraph in wikipedia.paragraphs(markup):
        yield from (one for one in _END.split(paragraph) if LENGTHS[0] < len(one) < LENGTHS[1])


class Shop:
    """Applies techniques on the sentences."""

    def __init__(self, folder: Path, texts: list[str], training_share: float = TRAINING_SHARE) -> None:
        self.folder, self.original = folder, models.minilm_encoder_folder().archive
        self.spec = DatasetSpec(kind="text", task="fidelity", pooling="mean", training_share=training_share)
        self.texts = folder / "sentences.jsonl"
        self.texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    def apply(self, technique: str, model: Path, model_format: str = "transformers", **parameters: Any) -> Path:
        found, complete = spec_of(technique, parameters)
        work = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{technique}-"))
        (work / "out").mkdir()
        engine, first = open_engine(model_format, model, work), open_engine("transformers", self.original, work)
        inputs, outputs = engine.summary.inputs, engine.summary.outputs
        data = load_dataset(self.texts, self.spec, inputs, 0, scratch=work, encoder=first.encoder, outputs=outputs)
        assignment = Assignment(
            spec=found,
            parameters=complete,
            model=model,
            dataset=data,
            scratch=work,
            out=work / "out",
            format=model_format,
            encoder=first.encoder,
            further_inputs={role: ModelFile(format="transformers", path=self.original) for role in found.inputs},
        )
        started = time.process_time()
        made = agent_for(found).run(assignment, Teller())
        print(f"  {technique}: {time.process_time() - started:.0f} CPU s. {made.result.checks[1]}", file=sys.stderr)
        return made.artifact

    def load(self, model: Path) -> TorchModel:
        return load_model(model, Path(tempfile.mkdtemp(dir=self.folder)))


class Reader(Protocol):
    """A model that reads tokens, and the tokenizer."""

    @property
    def encoder(self) -> TextEncoder | None: ...

    def run(self, feeds: Feeds) -> Outputs: ...


@dataclass(frozen=True)
class OnnxReader:
    session: onnxruntime.InferenceSession
    encoder: TextEncoder | None

    def run(self, feeds: Feeds) -> Outputs:
        taken = {one.name: feeds[one.name] for one in self.session.get_inputs()}
        return runtime.run(self.session, taken)


def embeddings(model: Reader, texts: list[str]) -> np.ndarray:
    """[texts, size], of length 1."""
    assert model.encoder is not None
    found = []
    for ids in model.encoder.encode(texts):
        (hidden, *_) = model.run(_row(ids))
        found.append(hidden[0].mean(0))
    vectors = np.stack(found).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _row(ids: list[int]) -> dict[str, np.ndarray]:
    row = np.array([ids], np.int64)
    return {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}


def word_pairs() -> tuple[tuple[list[str], list[str]], np.ndarray]:
    """The left words and the right ones, and people's judgement of how alike they are."""
    pairs = [json.loads(line) for line in models.word_similarity().read_text().splitlines()]
    words = [pair["text_a"] for pair in pairs], [pair["text_b"] for pair in pairs]
    return words, np.array([pair["score"] for pair in pairs])


def spearman(model: Reader) -> float:
    words, people = word_pairs()
    left, right = (embeddings(model, side) for side in words)
    return float(scipy.stats.spearmanr((left * right).sum(1), people).statistic)


def faster(original: Callable[[], object], candidate: Callable[[], object]) -> float:
    """Median CPU time of the original over the candidate's, in turns."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(ROUNDS):
        for run, taken in zip((original, candidate), times, strict=True):
            run()
            before = time.thread_time_ns()
            run()
            taken.append(time.thread_time_ns() - before)
    return statistics.median(times[0]) / statistics.median(times[1])


def speeds(shop: Shop, candidate: Path, text: str) -> tuple[float, float]:
    """In PyTorch and in ONNX Runtime."""
    whole, small = shop.load(shop.original), shop.load(candidate)
    assert whole.encoder is not None
    row = _row(whole.encoder.encode([text])[0])
    in_torch = faster(lambda: whole.run(row), lambda: small.run(row))
    sessions = [session_of(shop.apply("onnx-export", path)) for path in (shop.original, candidate)]
    runs = [lambda one=one: one.run(None, {each.name: row[each.name] for each in one.get_inputs()}) for one in sessions]
    return in_torch, faster(*runs)


def report(shop: Shop, arguments: argparse.Namespace, held_out: list[str]) -> bool:
    """Print the table; whether the bar is met by some share."""
    whole = shop.load(shop.original)
    base, wanted, met = spearman(whole), embeddings(whole, held_out), False
    typical = sorted(held_out, key=len)[len(held_out) // 2]
    print("| model | Spearman | likeness | times smaller | PyTorch | ONNX Runtime |\n|---|---|---|---|---|---|")
    print(f"| original | {base:.3f} | 1.000 | 1.00 | 1.00 | 1.00 |", flush=True)
    for removed in arguments.removed:
        cut = shop.apply("torch-prune-width", shop.original, removed=removed, importance=arguments.importance)
        in_torch, in_onnx = speeds(shop, cut, typical)
        losses: dict[str, float] = {}
        made = _variants(shop, arguments, removed, cut)
        for name, path in made:
            model = shop.load(path)
            losses[name] = base - (found := spearman(model))
            likeness = float((embeddings(model, held_out) * wanted).sum(1).mean())
            smaller = shop.original.stat().st_size / path.stat().st_size
            cells = f"{found:.3f} | {likeness:.3f} | {smaller:.2f} | {in_torch:.2f} | {in_onnx:.2f}"
            print(f"| {name} | {cells} |", flush=True)
        compensated, last = next(iter(losses.values())), list(losses.values())[-1]
        met |= min(in_torch, in_onnx) >= FASTER and compensated <= COMPENSATED and last <= RECOVERED
    return met


def _variants(shop: Shop, arguments: argparse.Namespace, removed: float, cut: Path) -> Iterator[tuple[str, Path]]:
    """The compensated cut, and what was asked for beside it, the distilled one last."""
    yield f"{removed:.0%} of the features removed", cut
    if arguments.plain:
        yield (
            f"{removed:.0%}, not compensated",
            shop.apply(
                "torch-prune-width", shop.original, removed=removed, importance=arguments.importance, compensate=False
            ),
        )
    if arguments.steps:
        learned = {"steps": arguments.steps, "batch_size": arguments.batch_size}
        yield (
            f"{removed:.0%}, then distilled",
            shop.apply("torch-recover", cut, learning_rate=arguments.learning_rate, **learned),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("removed", type=float, nargs="*", default=[0.3, 0.5], help="shares of the features")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=300, help="of distillation; 0 for none (300)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--importance", default="reconstruction", choices=("reconstruction", "variance"))
    parser.add_argument("--plain", action="store_true", help="also the cut without compensation")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = list(islice(sentences(), arguments.sentences + HELD_OUT))
    with tempfile.TemporaryDirectory(prefix="narrow-") as folder:
        met = report(Shop(Path(folder), texts[HELD_OUT:]), arguments, texts[:HELD_OUT])
    print("The bar is met." if met else "The bar is not met.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
