"""stories15M in 4 bits, read back from disk: size and perplexity beside round-to-nearest at the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.metrics import MetricComparison
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import load_dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.metrics.comparing import compare_by_bootstrap
from apps.agents.evaluation.metrics.likelihood import mean_nll, predict
from apps.agents.measuring.engine import Run, open_engine
from apps.agents.techniques.base import Optimized
from tests.agents.workshop import Workshop

pytestmark = [pytest.mark.assets, pytest.mark.slow, pytest.mark.timeout(600)]

TEXTS = DatasetSpec(kind="text", task="language_modeling")
TOKENS = 14_000
LINEAR = 6 * (4 * 288 * 288 + 3 * 288 * 768)
RTN, AWQ, GPTQ, NF4 = "torch-round-to-nearest", "torch-awq", "torch-gptq", "torch-bitsandbytes"
MADE = {RTN: {}, AWQ: {"calibration_examples": 12}, GPTQ: {"calibration_examples": 32}, NF4: {}}
"""Techniques with the parameters that differ from their defaults: few rows, for the time they take."""
BITS = {RTN: 5.13, AWQ: 5.13, GPTQ: 5.13, NF4: 4.19}
"""Of a weight on disk: 4, a float32 scale and a 4-bit zero point for 32; or a scale in 8 bits for 64, and tables."""


@dataclass(frozen=True)
class Losses:
    """Sums over each document."""

    tokens: NDArray[np.float64]
    nats: dict[str, NDArray[np.float64]]

    def compare(self, before: str, after: str) -> MetricComparison:
        """Nats per token, whole documents resampled; the drop is what `after` loses."""
        both = mean_nll(self.nats[before], self.nats[after], self.tokens)
        return compare_by_bootstrap(Metric.NLL, both, len(self.tokens), 0.95, 0)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("quality"), "transformers")


@pytest.fixture(scope="module")
def made(workshop: Workshop, stories15m, own_stories) -> dict[str, Optimized]:
    return {name: workshop.apply(name, stories15m.archive, own_stories, TEXTS, **given) for name, given in MADE.items()}


@pytest.fixture(scope="module")
def losses(workshop: Workshop, made: dict[str, Optimized], stories15m, own_stories) -> Losses:
    engine = open_engine("transformers", stories15m.archive, workshop.root)
    inputs, encoder = engine.summary.inputs, engine.encoder
    dataset = load_dataset(own_stories, TEXTS, inputs, 0, scratch=workshop.root, encoder=encoder)
    files = {"original": stories15m.archive, **{name: each.artifact for name, each in made.items()}}
    runs = {name: _session(path, workshop.root) for name, path in files.items()}
    tokens: list[float] = []
    nats: dict[str, list[float]] = {name: [] for name in runs}
    for feeds, labels in dataset.evaluation(8):
        assert isinstance(labels, TokenTargets)
        tokens += (labels.tokens != IGNORED).sum(1).tolist()
        for name, run in runs.items():
            found = predict(run(feeds)[0], labels.tokens, Task.LANGUAGE_MODELING)
            nats[name] += np.bincount(found.rows, found.nll, len(labels.tokens)).tolist()
        if sum(tokens) >= TOKENS:  # No story is longer than a row.
            break
    return Losses(np.array(tokens), {name: np.array(sums) for name, sums in nats.items()})


def _session(path: Path, scratch: Path) -> Run:
    return open_engine("transformers", path, scratch).session(Target())


def test_enough_tokens_are_predicted_and_the_original_knows_them(losses: Losses):
    assert losses.tokens.sum() >= TOKENS
    assert 2.5 < np.exp(losses.nats["original"].sum() / losses.tokens.sum()) < 4


@pytest.mark.parametrize("name", [RTN, AWQ, GPTQ, NF4])
def test_the_file_is_as_small_as_the_bits_allow(made: dict[str, Optimized], name: str):
    result = made[name].result
    saved_bytes = result.input_size_bytes - result.size_bytes
    assert saved_bytes >= 0.95 * LINEAR * (32 - BITS[name]) / 8
    assert "The embedding table (9,216,000 weights, tied to the output head) stays in float32." in result.checks


@pytest.mark.parametrize("name", [AWQ, GPTQ])
def test_what_looks_at_the_data_loses_less_than_plain_rounding(losses: Losses, name: str):
    """Beyond chance, and at the same size: 0.059 and 0.044 nats per token where plain rounding loses 0.079."""
    assert losses.compare(RTN, name).drop.high < 0
    assert 0 < losses.compare("original", name).drop.low < losses.compare("original", name).drop.high < 0.075


def test_nf4_is_smaller_than_plain_rounding_and_loses_a_little_more(losses: Losses, made: dict[str, Optimized]):
    assert made[NF4].result.size_bytes < made[RTN].result.size_bytes
    assert losses.compare(RTN, NF4).drop.low > 0
    assert losses.compare("original", NF4).drop.high < 0.12
