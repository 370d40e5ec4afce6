"""stories15M in its transformers folder is the model it was, and the texts for it are what their docstrings say."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tests.assets.models import Transformer

pytestmark = [
    pytest.mark.assets,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("one_torch_thread"),
]


@pytest.fixture(scope="module")
def model(stories15m: Transformer) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(stories15m.folder, local_files_only=True).eval()


@pytest.fixture(scope="module")
def tokenizer(stories15m: Transformer) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(stories15m.folder, local_files_only=True)


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: list[str]) -> float:
    loss, count = 0.0, 0
    for document in documents:
        ids = tokenizer(document, return_tensors="pt", truncation=True).input_ids
        with torch.inference_mode():
            loss += (ids.shape[1] - 1) * float(model(ids, labels=ids).loss)
        count += ids.shape[1] - 1
    return math.exp(loss / count)


def test_it_is_a_float32_llama_of_fifteen_million_parameters(stories15m: Transformer, model: PreTrainedModel) -> None:
    assert type(model).__name__ == "LlamaForCausalLM"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert sum(parameter.numel() for parameter in model.parameters()) == 15_191_712
    with zipfile.ZipFile(stories15m.archive) as archive:
        assert sorted(archive.namelist()) == sorted(path.name for path in stories15m.folder.iterdir())


def test_it_writes_a_story_with_an_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    start = tokenizer("Once upon a time, there was a little girl named Lily.", return_tensors="pt")
    written = model.generate(**start, do_sample=False, max_length=256)
    story = tokenizer.decode(written[0], skip_special_tokens=True)

    assert "One day, she saw a big, red ball" in story
    assert len(written[0]) < 256


def test_the_tokenizer_cuts_as_llama_does_and_gives_the_text_back(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "Once upon a time, Zoë said: “Let's go!”\nन 你"

    assert tokenizer(text).input_ids[:5] == [1, 9038, 2501, 263, 931]
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_its_own_stories_surprise_it_as_little_as_they_should(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, own_stories: Path
) -> None:
    stories = texts(own_stories)
    lengths = [len(tokenizer(story).input_ids) for story in stories]

    assert len(stories) == len(set(stories)) == 136
    assert max(lengths) <= 258  # a few pieces are cut otherwise when they are read back
    assert sum(lengths) > 25_000
    assert perplexity(model, tokenizer, stories[:12]) == pytest.approx(3, abs=0.5)


def test_wikipedia_is_plain_text_and_foreign_to_it(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wikipedia_text: Path
) -> None:
    paragraphs = texts(wikipedia_text)
    lengths = [len(tokenizer(paragraph).input_ids) for paragraph in paragraphs]

    assert len(paragraphs) == len(set(paragraphs)) == 300
    assert not [paragraph for paragraph in paragraphs if set(paragraph) & set("[]{}|<>&=")]
    assert max(lengths) <= 256
    assert sum(lengths) > 30_000
    assert 500 < perplexity(model, tokenizer, paragraphs[:12]) < 5000
