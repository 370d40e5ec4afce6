"""SmoothQuant on a real language model: the same function before rounding, and what W8A8 loses to outliers won back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import save_model
from apps.agents.backends.torch.smoothing import find_sites, largest_change
from apps.agents.backends.torch.smoothquant import smooth
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Optimized
from tests.agents.workshop import Workshop

pytestmark = [pytest.mark.assets, pytest.mark.slow]

TEXTS = DatasetSpec(kind="text", task="language_modeling")
CALIBRATION = {"calibration_examples": 16}
OUTLIERS = (3, 50, 99, 140, 200, 260)
"""Channels of every norm that are multiplied by 60, and divided again in the weights behind it."""
SUMMARY = ModelSummary(
    format="transformers", producer="", opset=None, inputs=(), outputs=(), parameters=1, size_bytes=1, operators={}
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("smoothquant"), "transformers")


@pytest.fixture(scope="module")
def tokens(stories15m, own_stories) -> list[torch.Tensor]:
    """Some stories that calibration may not be asked about: `[1, tokens]` each."""
    encoder = open_engine("transformers", stories15m.archive, own_stories.parent).encoder
    assert encoder is not None
    lines = own_stories.read_text().splitlines()[:24]
    return [torch.tensor([row[:256]]) for row in encoder.encode([json.loads(line)["text"] for line in lines])]


@pytest.fixture(scope="module")
def wild(workshop: Workshop, stories15m, tokens: list[torch.Tensor]) -> Path:
    """stories15M with outliers that change nothing of the function."""
    model = load_model(stories15m.archive, workshop.root)
    before = model.call(_feeds(tokens[0]))
    for site in find_sites(model, _feeds(tokens[0])):
        scale = torch.ones(site.channels)
        scale[list(OUTLIERS)] = 1 / 60
        site.smooth(scale)
    assert largest_change(before, model.call(_feeds(tokens[0]))) < 1e-5
    folder = workshop.root / "wild"
    folder.mkdir()
    return save_model(model, folder)


def _feeds(row: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"input_ids": row, "attention_mask": torch.ones_like(row)}


def _nats_per_token(model: TorchModel, tokens: list[torch.Tensor]) -> float:
    losses, count = 0.0, 0
    with torch.inference_mode():
        for row in tokens:
            logits = model.call(_feeds(row))[0][0, :-1]
            losses += float(torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum"))
            count += len(logits)
    return losses / count


@pytest.fixture(scope="module")
def smoothed(workshop: Workshop, wild: Path, own_stories: Path) -> Optimized:
    return workshop.apply("torch-smoothquant", wild, own_stories, TEXTS, **CALIBRATION)


def test_it_wins_back_nine_tenths_of_what_plain_w8a8_loses(
    workshop: Workshop, stories15m, wild: Path, smoothed: Optimized, own_stories: Path, tokens: list[torch.Tensor]
):
    """The positive control: the outliers change nothing of the function, so nothing but rounding can lose."""
    original = _nats_per_token(load_model(stories15m.archive, workshop.root), tokens)
    plain = workshop.apply("torch-smoothquant", wild, own_stories, TEXTS, smoothing=False, **CALIBRATION)
    lost = {
        name: _nats_per_token(load_model(made.artifact, workshop.root), tokens) - original
        for name, made in (("plain", plain), ("smooth", smoothed))
    }
    assert lost["plain"] > 0.02
    assert lost["smooth"] <= 0.1 * lost["plain"]


def test_the_result_says_what_smoothing_alone_did_and_how_it_is_stored(workshop: Workshop, smoothed: Optimized):
    told = " ".join(smoothed.result.checks)
    assert "Outliers of 12 norms were moved into the weights with alpha 0." in told
    assert "Before any rounding, that changes the outputs by at most" in told
    assert "The embedding table (9,216,000 weights, tied to the output head) stays in float32." in told
    with zipfile.ZipFile(smoothed.artifact) as archive:
        scheme = json.loads(archive.read("config.json"))["quantization_config"]["config_groups"]["group_0"]
    assert (scheme["weights"]["num_bits"], scheme["weights"]["strategy"]) == (8, "channel")
    assert (scheme["input_activations"]["num_bits"], scheme["input_activations"]["dynamic"]) == (8, True)
    layers = 6 * (4 * 288 * 288 + 3 * 288 * 768)
    summary = open_engine("transformers", smoothed.artifact, workshop.root).summary
    assert summary.weight_dtypes["int8"] == layers
    assert smoothed.result.input_size_bytes - smoothed.result.size_bytes >= 0.95 * 3 * layers


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_smoothing_alone_is_the_original_to_float_precision(
    alpha: float, workshop: Workshop, wild: Path, tokens: list[torch.Tensor]
):
    model = load_model(wild, workshop.root)
    before = model.run({name: tensor.numpy() for name, tensor in _feeds(tokens[1]).items()})[0]
    told = smooth(model, [_feeds(row) for row in tokens[:4]], alpha, "SmoothQuant")
    after = model.run({name: tensor.numpy() for name, tensor in _feeds(tokens[1]).items()})[0]
    assert f"with alpha {alpha:g}" in told
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())


def test_a_model_that_normalizes_after_adding_is_left_to_its_export(tmp_path: Path):
    """In BERT every norm feeds a residual connection as well, which no scale inside the linear layers makes up for."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=100, max_position_embeddings=32, **sizes)
    module = BertForSequenceClassification(config).eval()
    row = torch.arange(1, 9)[None]
    feeds = {"input_ids": row, "attention_mask": torch.ones_like(row), "token_type_ids": torch.zeros_like(row)}
    specs = tuple(TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in feeds)
    logits = TensorSpec(name="logits", dtype="float32", shape=("batch", 2))
    summary = SUMMARY.model_copy(update={"inputs": specs, "outputs": (logits,)})
    model = TorchModel(module, Format.TRANSFORMERS, summary, tmp_path)
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    with pytest.raises(TechniqueNotApplicable, match="none of its norms is read only by linear layers"):
        smooth(model, [feeds], 0.5, "SmoothQuant")
    assert all(torch.equal(before[name], weight) for name, weight in module.state_dict().items())
