"""The tokenizer in a transformers folder (`apps.agents.contracts.text.TextEncoder`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PretrainedConfig

from apps.agents.contracts.errors.torch_models import TokenizerBroken

READ = ("tokenizer.json", "vocab.txt", "vocab.json")
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Files that no library here reads. Beside one of `READ`, they are passed on and not opened."""
CONTEXT_UNSTATED = 1024
"""Length of a row if neither model nor tokenizer has a limit: attention with relative positions has none."""
_SANE_TOKENS = 10_000_000
"""Tokenizers without a limit declare an astronomic number."""


class FolderEncoder:
    """The folder's tokenizer, with the model's own limit on a row's length.

    `harmless_pad_id` is a token that may pad rows of a model that treats the last other token as the row's end. It is
    `None` if the tokenizer has no token that does not end a text.
    """

    def __init__(self, tokenizer: Any, context_length: int, config: PretrainedConfig) -> None:
        self._tokenizer = tokenizer
        self.context_length = context_length
        self.harmless_pad_id = self._harmless(config)
        self.pad_id = self.harmless_pad_id or 0

    @property
    def input_names(self) -> tuple[str, ...]:
        """Inputs that the tokenizer makes, such as `token_type_ids`."""
        return tuple(self._tokenizer.model_input_names)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """The tokens of each text. Raises `TokenizerBroken`, for example if an expression takes too long on a text."""
        if not texts:
            return []
        with _panics_told():
            encoded = self._tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)
        return [list(map(int, ids)) for ids in encoded["input_ids"]]

    def reads_as(self, other: FolderEncoder) -> bool:
        """Whether both make the same tokens of a text: by the same vocabulary, with the same special ones."""
        same = self._tokenizer.get_vocab() == other._tokenizer.get_vocab()
        return bool(same) and self.encode(["a"]) == other.encode(["a"])

    def _harmless(self, config: PretrainedConfig) -> int | None:
        """The padding token of the model or the tokenizer; otherwise a token that begins or ends texts.

        The attention mask hides it. The model's own comes first: some models find a row's end or its positions by it.
        """
        if (known := padding_of(config)) is not None:
            return known
        ends = self.encode(["a"])[0][-1:]
        candidates = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id, self._tokenizer.bos_token_id)
        vocabulary = getattr(config.get_text_config(), "vocab_size", None)
        usable = (token for token in candidates if _is_token(token, vocabulary) and token not in ends)
        return next(usable, None)


@contextmanager
def _panics_told() -> Iterator[None]:
    """The library's panics are no `Exception`, and would end the process without a word."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerBroken(reason=" ".join(str(error).split())[:300].rstrip(". ")) from error


def open_tokenizer(folder: Path, config: PretrainedConfig, positions: int | None) -> FolderEncoder | None:
    """The encoder of a folder, or `None` if it does not contain a tokenizer. Raises `TokenizerBroken`.

    `positions` is the maximum number of tokens for the model, if it has a limit.
    """
    if not any((folder / name).is_file() for name in READ):
        _refuse_sentencepiece(folder)
        return None
    try:
        with _panics_told():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        stated = int(tokenizer.model_max_length)
    except TokenizerBroken:
        raise
    except Exception as error:  # The library may raise anything for untrusted files.
        reason = " ".join(str(error).replace(str(folder), "the folder").split())
        raise TokenizerBroken(reason=reason[:300].rstrip(". ")) from error
    if stated < 1:
        raise TokenizerBroken(reason=f"its model_max_length is {stated}")
    limits = [limit for limit in (positions, stated if stated < _SANE_TOKENS else None) if limit]
    return FolderEncoder(tokenizer, min(limits, default=CONTEXT_UNSTATED), config)


def _refuse_sentencepiece(folder: Path) -> None:
    """Raises `TokenizerBroken` if the folder's tokenizer is in SentencePiece's own format."""
    for name in SENTENCEPIECE:
        if (folder / name).is_file():
            way = "Open the tokenizer with transformers and save it again: that adds tokenizer.json"
            raise TokenizerBroken(reason=f"it is in {name} only, whose format is not read here. {way}")


def context_length(config: PretrainedConfig, outline: torch.nn.Module) -> int | None:
    """The maximum number of tokens that the model has positions for; `None` if it has no limit.

    A table of positions with a padding entry counts from after that entry (RoBERTa and related models, MPNet, ESM …).
    The entries up to it are for padding, and no token may use them.
    """
    stated = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [stated] if isinstance(stated, int) and stated > 0 else []
    for name, module in outline.named_modules():
        padding = getattr(module, "padding_idx", None)
        table = getattr(module, "weight", None)
        if "position" in name.rpartition(".")[2] and isinstance(padding, int) and table is not None:
            limits.append(table.shape[0] - padding - 1)
    return min(limits, default=None)


def padding_of(config: PretrainedConfig) -> int | None:
    """The model's own padding token."""
    text = config.get_text_config()
    token = getattr(text, "pad_token_id", None)
    return token if _is_token(token, getattr(text, "vocab_size", None)) else None


def _is_token(token: Any, vocabulary: int | None) -> bool:
    return isinstance(token, int) and token >= 0 and (vocabulary is None or token < vocabulary)
