"""Real models in PyTorch's formats: what is said of them, and that they are the models they were."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.inspection import inspect
from apps.agents.contracts.criteria import Target
from apps.agents.measuring.engine import Feeds
from tests.assets.models import StateDict, Transformer

pytestmark = pytest.mark.assets
DESCRIPTION = """file = "model.py"
factory = "build"
weights = "weights.pth"

[[input]]
name = "image"
dtype = "float32"
shape = ["batch", 3, 224, 224]
"""


def test_a_causal_language_model_reads_its_own_tokenizers_tokens(stories15m: Transformer, tmp_path: Path) -> None:
    summary = inspect(stories15m.archive, tmp_path)
    language = summary.language
    assert language is not None
    assert (language.architecture, language.generative, language.context_length) == ("LlamaForCausalLM", True, 256)
    assert (language.vocabulary, language.tokenizer) == (32_000, True)
    assert language.tied_embeddings
    assert summary.parameters == pytest.approx(15.2e6, rel=0.01)
    engine = TorchEngine(stories15m.archive, tmp_path)
    encoder = engine.encoder
    assert encoder is not None
    tokens = np.array(encoder.encode(["Once upon a time, there was a little girl named Lily."]))
    feeds: Feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    logits = torch.from_numpy(engine.session(Target())(feeds)[0].astype(np.float32))
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], torch.from_numpy(tokens[0, 1:]))
    assert loss.item() < 3  # It has been trained on such sentences; guessing among 32,000 words would be 10.


def test_a_classifier_takes_what_its_tokenizer_makes(minilm_classifier: Transformer, tmp_path: Path) -> None:
    summary = inspect(minilm_classifier.archive, tmp_path)
    assert [spec.name for spec in summary.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [str(spec) for spec in summary.outputs] == ["logits: float32[batch, 2]"]
    assert summary.parameters == pytest.approx(22.7e6, rel=0.01)


def test_a_network_of_a_library_comes_as_a_state_dict(efficientnet: StateDict, tmp_path: Path) -> None:
    package = efficientnet.library / "efficientnet_lite_pytorch"
    code = "from .efficientnet_lite_pytorch import EfficientNet\n\n\ndef build():\n"
    code += '    return EfficientNet.from_name("efficientnet-lite0")\n'
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("lathe.toml", DESCRIPTION)
        archive.writestr("model.py", code)
        archive.write(efficientnet.weights, "weights.pth")
        for file in package.glob("*.py"):
            archive.write(file, f"efficientnet_lite_pytorch/{file.name}")
    sys.modules.pop("efficientnet_lite_pytorch", None)
    summary = inspect(tmp_path / "model.zip", tmp_path)
    assert summary.operators["Conv2d"] == 49, "what the description leaves out is found by one run"
    assert {file.name for file in summary.code} >= {"model.py", "efficientnet_lite_pytorch/model.py"}
    engine = TorchEngine(tmp_path / "model.zip", tmp_path)
    assert [str(spec) for spec in engine.summary.outputs] == ["output: float32[batch, 1000]"]
    assert engine.summary.operators["Conv2d"] > 40
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    assert engine.session(Target())({"image": image})[0].shape == (1, 1000)
