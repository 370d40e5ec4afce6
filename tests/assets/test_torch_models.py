"""MiniLM and EfficientNet in PyTorch's own formats do in float what they are known to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from tests.assets.models import StateDict, Transformer

pytestmark = [
    pytest.mark.assets,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("one_torch_thread"),
]


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_minilm_classifier_reads_sentiment(minilm_classifier: Transformer, snippets: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_classifier.folder)
    model = AutoModelForSequenceClassification.from_pretrained(minilm_classifier.folder).eval()
    examples = rows(snippets)
    texts = [row["text"] for row in examples]
    with torch.inference_mode():
        tokens = tokenizer(texts[:300], padding=True, truncation=True, max_length=64, return_tensors="pt")
        predicted = model(**tokens).logits.argmax(1).numpy()

    assert len(examples) == 600
    assert (predicted == [row["label"] for row in examples[:300]]).mean() >= 0.78


def test_minilm_rates_similar_words_as_people_do(minilm_encoder: Transformer, word_similarity: Path) -> None:
    tokenizer, model = (kind.from_pretrained(minilm_encoder.folder) for kind in (AutoTokenizer, AutoModel))
    pairs = rows(word_similarity)
    with torch.inference_mode():
        sides = []
        for side in ("text_a", "text_b"):
            tokens = tokenizer([pair[side] for pair in pairs], padding=True, return_tensors="pt")
            mask = tokens["attention_mask"].unsqueeze(-1)
            sides.append((model.eval()(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1))
    similarity = torch.cosine_similarity(*sides).numpy()

    assert len(pairs) == 353
    assert spearmanr(similarity, [pair["score"] for pair in pairs]).statistic == pytest.approx(0.729, abs=0.02)


def test_efficientnet_knows_cifar10(
    efficientnet: StateDict,
    efficientnet_cifar10: StateDict,
    cifar10_for_efficientnet: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(efficientnet.library))
    monkeypatch.delitem(sys.modules, "efficientnet_lite_pytorch", raising=False)
    from efficientnet_lite_pytorch import EfficientNet

    data = np.load(cifar10_for_efficientnet)
    original = torch.load(efficientnet.weights, weights_only=True)
    state = torch.load(efficientnet_cifar10.weights, weights_only=True)
    model = EfficientNet.from_name("efficientnet-lite0", num_classes=10).eval()
    model.load_state_dict(state)
    with torch.inference_mode():
        predicted = model(torch.from_numpy(data["image"][:100])).argmax(1).numpy()

    assert data["image"].shape == (400, 3, 224, 224)
    assert all(torch.equal(state[name], original[name]) for name in original if not name.startswith("_fc"))
    assert (predicted == data["y"][:100]).mean() >= 0.75


def test_cifar10_is_whole(cifar10: Path) -> None:
    data = np.load(cifar10)

    assert data["images"].shape == (10000, 32, 32, 3)
    assert np.bincount(data["y"]).tolist() == [1000] * 10
