"""Texts and tokens: what a data set of texts needs from a model. Imports no heavy library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

ATTENTION_MASK = "attention_mask"
"""The input that is 1 on tokens and 0 on padding."""
IGNORED = -100
"""In rows of target tokens: the model does not have to predict this one."""


class TextEncoder(Protocol):
    """The tokenizer in a model's folder. It turns the texts of a data set into inputs of the model."""

    @property
    def context_length(self) -> int:
        """The most tokens in a row."""
        ...

    @property
    def pad_id(self) -> int:
        """The token that pads rows. The attention mask hides it."""
        ...

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of each text, not truncated; with the model's `special` tokens (`<s>`, `[CLS]` …) or without."""
        ...
