"""What rows a folder's model takes: how long, and how they are filled up, by family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.tokenizing import context_length
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.reports.dataset import Task
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import fixed_batch, run_portions
from tests.agents.text_folders import FAMILIES, LENGTH, WORDS, classifier, folder
from tests.agents.torch_uploads import folder_zip

NO_TABLE = ("Llama",)
"""Rotates instead: a longer row is only worse."""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_usable_length_is_the_longest_row_that_the_model_bears(family: str) -> None:
    model = classifier(family)
    assert context_length(model.config, model) == LENGTH
    row = torch.full((1, LENGTH), 5)
    with torch.inference_mode():
        assert model(input_ids=row, attention_mask=torch.ones_like(row)).logits.isfinite().all()
    if family not in NO_TABLE:
        longer = torch.full((1, LENGTH + 1), 5)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=longer, attention_mask=torch.ones_like(longer))


def texts(path: Path) -> Path:
    """Of 1 to 40 words."""
    chance = np.random.default_rng(0)
    lines = [" ".join(f"w{word}" for word in chance.integers(0, WORDS, chance.integers(1, 40))) for _ in range(60)]
    path.write_text("\n".join(json.dumps({"text": line, "label": at % 2}) for at, line in enumerate(lines)))
    return path


@pytest.mark.parametrize(
    ("family", "ends", "begins", "alone"),
    [
        ("GPT2", False, False, False),
        ("OPT", False, True, False),
        ("Llama", True, True, False),
        ("GPT2", True, False, True),  # Neither pad nor begin, and the end stands at the end of every row.
        ("RobertaPreLayerNorm", True, True, False),
        ("Electra", False, False, False),
    ],
)
def test_a_batch_of_texts_gives_what_each_row_gives_alone(
    family: str, ends: bool, begins: bool, alone: bool, tmp_path: Path
) -> None:
    archive = folder_zip(folder(family, tmp_path / "files", ends=ends, begins=begins), tmp_path / "model.zip")
    engine = TorchEngine(archive, tmp_path)
    summary = engine.summary
    assert fixed_batch(summary.inputs) == (1 if alone else None)
    spec = DatasetSpec(kind=DatasetKind.TEXT, task=Task.CLASSIFICATION)
    dataset = load_dataset(
        texts(tmp_path / "t.jsonl"), spec, summary.inputs, 0, scratch=tmp_path, encoder=engine.encoder
    )
    run, plain = engine.session(Target()), classifier(family)
    rows = 0
    for feeds, _ in dataset.evaluation(8):
        found = run_portions(run, feeds, fixed_batch(summary.inputs))[0]
        for ids, mask, logits in zip(feeds["input_ids"], feeds["attention_mask"], found, strict=True):
            row = torch.tensor(ids[mask == 1])[None]
            rows += 1
            with torch.inference_mode():
                expected = plain(input_ids=row, attention_mask=torch.ones_like(row)).logits[0]
            np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)
    assert rows > 30


def test_the_model_s_own_padding_token_goes_before_the_tokenizer_s(tmp_path: Path) -> None:
    """By it the model finds where a row ends; the attention mask does not tell it."""
    path = folder("Llama", tmp_path / "files", begins=True, pad_token_id=3)
    described = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps({**described, "pad_token": "<pad>"}))
    encoder = TorchEngine(folder_zip(path, tmp_path / "model.zip"), tmp_path).encoder
    assert encoder is not None
    assert encoder.pad_id == 3


def test_without_a_tokenizer_a_classifier_that_knows_no_padding_takes_one_row_at_a_time(tmp_path: Path) -> None:
    classifier("GPT2").save_pretrained(tmp_path / "files")
    summary = TorchEngine(folder_zip(tmp_path / "files", tmp_path / "model.zip"), tmp_path).summary
    assert [spec.shape for spec in summary.inputs] == [(1, "sequence")] * 2
