"""What zeros cost a language model: stories15M by magnitude, Wanda and SparseGPT, at a share and in the pattern 2:4.

    python -m benchmarks.sparsity 0.5 2:4

Calibration and measurement are on different stories that the model wrote itself (`tests/assets/own_stories.py`), so a
perplexity above the original's own is its distance from the original. Intervals are at 95 %, by a bootstrap over whole
stories; "against magnitude" is the paired difference in nats per token on the same stories, negative where the method
loses less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import load_dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.metrics.comparing import compare_by_bootstrap
from apps.agents.evaluation.metrics.likelihood import mean_nll, predict
from apps.agents.files.compressed_size import compressed_bytes
from apps.agents.measuring.engine import open_engine
from tests.agents.workshop import Workshop
from tests.assets import models

TEXTS = DatasetSpec(kind="text", task="language_modeling")
MAGNITUDE = "magnitude"
TECHNIQUES = {MAGNITUDE: "torch-magnitude", "Wanda": "torch-wanda", "SparseGPT": "torch-sparsegpt"}
PAIRS = "2:4"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Sums over each story."""

    nats: Array
    tokens: Array

    @property
    def perplexity(self) -> float:
        return float(np.exp(self.nats.sum() / self.tokens.sum()))

    def loss(self, before: Measured) -> Estimate:
        """Nats per token more than `before`, with its interval."""
        both = mean_nll(before.nats, self.nats, self.tokens)
        return compare_by_bootstrap(Metric.NLL, both, len(self.tokens), 0.95, 0).drop


def measured(model: Path, stories: Path, scratch: Path) -> Measured:
    """The model on the evaluation part of the stories."""
    engine = open_engine("transformers", model, scratch)
    dataset = load_dataset(stories, TEXTS, engine.summary.inputs, 0, scratch=scratch, encoder=engine.encoder)
    run, nats, tokens = engine.session(Target()), [], []
    for feeds, labels in dataset.evaluation(8):
        assert isinstance(labels, TokenTargets)
        found = predict(run(feeds)[0], labels.tokens, Task.LANGUAGE_MODELING)
        nats.append(np.bincount(found.rows, found.nll, len(labels.tokens)))
        tokens.append((labels.tokens != IGNORED).sum(1))
    return Measured(np.concatenate(nats), np.concatenate(tokens).astype(float))


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """A line for the original, and one for each case and method."""
    model, stories, shop = models.stories15m_folder().archive, models.own_stories(), Workshop(folder, "transformers")
    original, plain_bytes = measured(model, stories, folder), compressed_bytes(model)
    yield f"{int(original.tokens.sum()):,} tokens; perplexity of the original {original.perplexity:.2f}\n"
    yield "| zeros | method | perplexity | nats lost | against magnitude | download smaller | seconds |"
    yield "|---|---|---|---|---|---|---|"
    for case in arguments.cases:
        plain: Measured | None = None
        for name, method, parameters in variants(case):
            start = time.process_time()
            made = shop.apply(TECHNIQUES[method], model, stories, TEXTS, **parameters).artifact
            seconds = time.process_time() - start
            found = measured(made, stories, folder)
            plain = plain or found
            apart = "" if found is plain else _interval(found.loss(plain))
            smaller = plain_bytes / compressed_bytes(made)
            yield f"| {case} | {name} | {found.perplexity:.2f} | {_interval(found.loss(original))} | {apart} | " + (
                f"{smaller:.2f}× | {seconds:.0f} |"
            )


def variants(case: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A name, the method, and the parameters; magnitude first."""
    asked = {"pattern": PAIRS} if case == PAIRS else {"sparsity": float(case)}
    for method in TECHNIQUES:
        if method == MAGNITUDE or case == PAIRS:
            yield method, method, asked
        else:
            yield f"{method}, equal shares", method, {**asked, "allocation": "uniform"}
            yield f"{method}, by sensitivity", method, {**asked, "allocation": "sensitivity"}


def _interval(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", help="shares of zeros, or 2:4")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in rows(arguments, Path(folder)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
