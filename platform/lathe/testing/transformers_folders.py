"""Folders as transformers saves them, of a size: a configuration, weights as safetensors, and a tokenizer of words.

Nothing is fetched: the weights are drawn, and the tokenizer knows the words of `data_sets.texts`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from lathe.testing.data_sets import WORDS
from lathe.testing.widths import width_for

HEADS = 4
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def classifier(
    folder: Path,
    megabytes: float,
    length: int = 64,
    vocabulary: int = 1000,
    classes: int = 2,
    blocks: int = 2,
    seed: int = 0,
) -> Path:
    """Saves a BERT of `blocks` layers that classifies texts of up to `length` tokens. Returns `folder`.

    Its width is a multiple of the four heads, so that small sizes are met only roughly. `vocabulary` has room for the
    special tokens and the words of `data_sets.texts` at least.
    """
    tables = vocabulary + length + 2
    width = HEADS * max(1, round(width_for(megabytes, 12 * blocks + 1, tables + 13 * blocks + 3 + classes) / HEADS))
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=blocks,
        num_attention_heads=HEADS,
        intermediate_size=4 * width,
        max_position_embeddings=length,
        num_labels=classes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertForSequenceClassification(config).eval().save_pretrained(folder)
    _tokenizer(vocabulary, length).save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: int, length: int) -> PreTrainedTokenizerFast:
    known = (*SPECIAL, *WORDS)
    if vocabulary < len(known):
        raise ValueError(f"{vocabulary} tokens are too few: there are {len(known)} special tokens and words")
    words = [*known, *(f"w{number}" for number in range(vocabulary - len(known)))]
    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    ends = [(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
