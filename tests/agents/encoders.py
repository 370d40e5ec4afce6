"""A tokenizer and language models small enough to be computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.reports.model import LanguageModel, ModelSummary, TensorSpec
from apps.agents.measuring.engine import Feeds, Outputs, Run

PAD, BEGIN, END, FIRST = 0, 1, 2, 3
VOCABULARY = 40


@dataclass
class LetterEncoder:
    """A token a character, with `before` and `after` around a text."""

    context_length: int = 16
    pad_id: int = PAD
    before: list[int] = field(default_factory=lambda: [BEGIN])
    after: list[int] = field(default_factory=list)

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        plain = [[FIRST + ord(letter) % (VOCABULARY - FIRST) for letter in text] for text in texts]
        return [self.before + ids + self.after for ids in plain] if special else plain


TEXT_INPUTS = tuple(
    TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
)
LOGITS = (TensorSpec(name="logits", dtype="float32", shape=("batch", "sequence", VOCABULARY)),)
LANGUAGE = LanguageModel(architecture="LetterForCausalLM", generative=True, vocabulary=VOCABULARY, tokenizer=True)


class LetterEngine:
    """A causal model: the next token by the mean of all tokens so far. `noise` makes another model of it.

    Padding is seen wherever the mask does not hide it, as in a real model.
    """

    def __init__(self, noise: float = 0.0, encoder: LetterEncoder | None = None) -> None:
        random = np.random.default_rng(3)
        table = random.standard_normal((VOCABULARY, 8))
        self._table = table + noise * np.random.default_rng(5).standard_normal(table.shape)
        self._head = random.standard_normal((8, VOCABULARY)) * 0.5
        self.encoder = encoder or LetterEncoder()
        self.summary = ModelSummary(
            format="transformers",
            producer="",
            opset=None,
            inputs=TEXT_INPUTS,
            outputs=LOGITS,
            parameters=self._table.size,
            size_bytes=self._table.size * 4,
            operators={},
            weight_dtypes={"float32": self._table.size},
            language=LANGUAGE,
        )
        self.largest_bytes = 0

    def logits(self, feeds: Feeds) -> np.ndarray:
        ids, mask = feeds["input_ids"], feeds["attention_mask"].astype(float)
        states = np.cumsum(self._table[ids] * mask[:, :, None], 1) / np.maximum(1, np.cumsum(mask, 1))[:, :, None]
        # What stands in padded positions is nonsense that differs from model to model.
        states = np.where(mask[:, :, None] > 0, states, 50 * self._table.sum())
        logits = (states @ self._head).astype(np.float32)
        self.largest_bytes = max(self.largest_bytes, logits.nbytes)
        return logits

    def session(self, target: Target) -> Run:
        def run(feeds: Feeds) -> Outputs:
            return [self.logits(feeds)]

        return run

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        return 1000

    def profile(self, feeds: Feeds, target: Target, runs: int) -> None:
        """It has no operators."""


def letters(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
