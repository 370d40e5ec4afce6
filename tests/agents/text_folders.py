"""Tiny folders of transformers, of the families whose positions and padding differ, with a tokenizer of words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedModel

LENGTH = 24
"""Tokens that every family has usable positions for."""
WORDS = 20
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
_NARROW: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "vocab_size": WORDS + len(SPECIAL),
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_FROM_2 = {"max_position_embeddings": LENGTH + 2, "pad_token_id": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "Roberta": _FROM_2,
    "XLMRoberta": _FROM_2,
    "Camembert": _FROM_2,
    "RobertaPreLayerNorm": _FROM_2,
    "Data2VecText": _FROM_2,
    "Longformer": {**_FROM_2, "attention_window": 4},
    "MPNet": _FROM_2,
    "Xmod": {**_FROM_2, "languages": ["en_XX"], "default_language": "en_XX"},
    "Electra": {"max_position_embeddings": LENGTH, "embedding_size": 32},
    "Bert": {"max_position_embeddings": LENGTH},
    "GPT2": {"n_positions": LENGTH, "n_embd": 32, "n_layer": 1, "n_head": 4, "pad_token_id": None},
    "GPTNeo": {
        "max_position_embeddings": LENGTH,
        "num_layers": 1,
        "num_heads": 4,
        "attention_types": [[["global"], 1]],
        "pad_token_id": None,
    },
    "OPT": {"max_position_embeddings": LENGTH, "ffn_dim": 32, "word_embed_proj_dim": 32, "pad_token_id": None},
    "Llama": {"max_position_embeddings": LENGTH, "num_key_value_heads": 4, "pad_token_id": None},
}


def classifier(family: str, **settings: Any) -> PreTrainedModel:
    """Two classes; its weights are drawn from a fixed seed."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**_NARROW, **FAMILIES[family], **settings, "num_labels": 2})
    return getattr(transformers, f"{family}ForSequenceClassification")(config).eval()


def folder(family: str, path: Path, *, ends: bool = False, begins: bool = False, **settings: Any) -> Path:
    """The classifier with its tokenizer, which puts a token before or behind a text and states neither length nor pad.

    Without a token that `begins` texts it knows none.
    """
    classifier(family, **settings).save_pretrained(path)
    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate(words())}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    template = " ".join(["<s>"] * begins + ["$A"] + ["</s>"] * ends)
    tokenizer.post_processor = TemplateProcessing(template, special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(str(path / "tokenizer.json"))
    known = {"eos_token": "</s>", "unk_token": "<unk>", **({"bos_token": "<s>"} if begins else {})}
    described = {"tokenizer_class": "PreTrainedTokenizerFast", **known}
    (path / "tokenizer_config.json").write_text(json.dumps(described))
    return path


def words() -> list[str]:
    return [*SPECIAL, *(f"w{number}" for number in range(WORDS))]
