"""Llamas of two blocks as a member would upload them, large enough for groups and blocks of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.files.reproducible_zip import write_zip

VOCABULARY = 96
LINEAR = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64)
"""Weights of the linear layers."""


def llama_zip(folder: Path, **changes: Any) -> Path:
    """64 channels, 128 in the feed-forward, four heads of which two share keys and values, the output head tied.

    Some channels of the norms stand out, as in trained models: activation-aware methods have something to find.
    """
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "initializer_range": 0.05,
    }
    torch.manual_seed(0)
    config = LlamaConfig(**{**settings, **changes})
    model = LlamaForCausalLM(config).eval().to(config.dtype or torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight[::16] *= 4
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder / "saved")
    names = sorted(path.name for path in (folder / "saved").iterdir())
    return write_zip(folder / "model.zip", [(name, folder / "saved" / name) for name in names], compress=False)


def rows(examples: int = 96, length: int = 24) -> dict[str, Any]:
    """Tokens of several lengths, filled up on the right."""
    random = np.random.default_rng(0)
    lengths = random.integers(8, length + 1, examples)
    mask = (np.arange(length)[None] < lengths[:, None]).astype(np.int64)
    return {"input_ids": random.integers(3, VOCABULARY, (examples, length)) * mask, "attention_mask": mask}


def batch(examples: int = 4) -> dict[str, torch.Tensor]:
    """Rows without padding."""
    ids = torch.from_numpy(np.random.default_rng(1).integers(3, VOCABULARY, (examples, 16)))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
