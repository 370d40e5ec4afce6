"""The tokenizer in a transformers folder (`apps.agents.text.TextEncoder`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig

from apps.agents.errors import TokenizerBroken

FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json")
CONTEXT_UNSTATED = 1024
"""Tokens of a row where neither model nor tokenizer knows a limit: attention with relative positions has none."""
_SANE_TOKENS = 10_000_000
"""Tokenizers that know no limit state an astronomic number."""
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer"})
"""Their position table has entries for padding first, which no token may use."""


class FolderEncoder:
    """The folder's tokenizer, with the model's own limit on a row's length."""

    def __init__(self, tokenizer: Any, context_length: int, pad_id: int) -> None:
        self._tokenizer = tokenizer
        self.context_length = context_length
        self.pad_id = pad_id

    @property
    def input_names(self) -> tuple[str, ...]:
        """Inputs that the tokenizer makes, such as `token_type_ids`."""
        return tuple(self._tokenizer.model_input_names)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)
        return [list(map(int, ids)) for ids in encoded["input_ids"]]


def open_tokenizer(folder: Path, config: PretrainedConfig) -> FolderEncoder | None:
    """The encoder of a folder, or `None` where no tokenizer lies in it. Raises `TokenizerBroken`."""
    if not any((folder / name).is_file() for name in FILES):
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        stated = int(tokenizer.model_max_length)
    except Exception as error:  # The library reports a stranger's files with whatever it stumbles over.
        told = " ".join(str(error).replace(str(folder), "the folder").split())
        raise TokenizerBroken(reason=told[:300].rstrip(". ")) from error
    if stated < 1:
        raise TokenizerBroken(reason=f"its model_max_length is {stated}")
    limits = [limit for limit in (context_length(config), stated if stated < _SANE_TOKENS else None) if limit]
    return FolderEncoder(tokenizer, min(limits, default=CONTEXT_UNSTATED), _pad_id(tokenizer, config))


def context_length(config: PretrainedConfig) -> int | None:
    """The most tokens that the model has positions for; `None` where it states no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    if config.model_type in _OFFSET_POSITIONS:
        return positions - int(getattr(config, "pad_token_id", None) or 0) - 1
    return positions


def _pad_id(tokenizer: Any, config: PretrainedConfig) -> int:
    """The padding token, else the one that ends a text: the attention mask hides it either way."""
    candidates = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None), tokenizer.eos_token_id)
    return next((token for token in candidates if isinstance(token, int) and token >= 0), 0)
