"""Texts and tokens: what a data set of texts needs of a model. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

ATTENTION_MASK = "attention_mask"
"""The input that is 1 on tokens and 0 on padding."""
IGNORED = -100
"""In rows of target tokens: nothing is to be predicted here."""


class TextEncoder(Protocol):
    """The tokenizer in a model's folder. It makes the texts of a data set into what the model takes."""

    @property
    def context_length(self) -> int:
        """The most tokens a row may have."""
        ...

    @property
    def pad_id(self) -> int:
        """The token that fills up rows; the attention mask hides it."""
        ...

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of each text, not truncated; with the model's `special` tokens (`<s>`, `[CLS]` …) or without."""
        ...
