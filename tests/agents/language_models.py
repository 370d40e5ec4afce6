"""A tiny Llama with a tokenizer of words, and texts in which each word follows from the one before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.contracts.dataset_spec import DatasetSpec
from tests.agents import text_folders
from tests.agents.torch_uploads import folder_zip

TEXTS = 80
WORDS_OF_A_TEXT = 60
"""More than the model reads: each text becomes several windows."""
PERPLEXITY = DatasetSpec(kind="text", task="language_modeling", training_share=0.5)


def llama(folder: Path, **changes: Any) -> Path:
    """Two layers, 32 channels; it knows nothing."""
    text_folders.folder("Llama", folder / "classifier", begins=True)
    settings = {
        "vocab_size": text_folders.WORDS + len(text_folders.SPECIAL),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": text_folders.LENGTH,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "initializer_range": 0.1,
    }
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).eval().save_pretrained(folder / "saved")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "classifier" / name, folder / "saved")
    return folder_zip(folder / "saved", folder / "llama.zip")


def texts(path: Path) -> Path:
    """Mostly each word's number is one above that of the word before."""
    chance = np.random.default_rng(0)
    steps = np.where(chance.random((TEXTS, WORDS_OF_A_TEXT)) < 0.9, 1, 7)
    words = steps.cumsum(1) % text_folders.WORDS
    path.write_text("".join(json.dumps({"text": " ".join(f"w{word}" for word in row)}) + "\n" for row in words))
    return path
