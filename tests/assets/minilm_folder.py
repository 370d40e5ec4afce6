"""Make a sentiment classifier of MiniLM as transformers knows it; run as a module, in a process of its own.

    python -m tests.assets.minilm_folder MODEL_FOLDER RATINGS.tar.gz OUT_FOLDER

Writes the folder `model` (BertForSequenceClassification) and `snippets.jsonl` (`text`, `label`), the same examples as
those of `minilm.py`. Its classifier reads the first token through the pooler, where MiniLM gathers little (a linear
probe there: 0.73), so the last layer, the pooler and the classifier are trained; all below stays as published.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BatchEncoding, PreTrainedModel

from tests.assets.minilm import INPUTS, LENGTH, SEED, TRAIN_EXAMPLES, read_ratings

EPOCHS = 4
BATCH = 20
LEARNING_RATE = 3e-4


def batches(tokens: BatchEncoding, labels: Tensor) -> list[tuple[dict[str, Tensor], Tensor]]:
    """The training examples in batches of about one length, without their common padding, in a random order."""
    lengths = tokens["attention_mask"].sum(1)
    shuffled = torch.randperm(len(labels))
    chosen = shuffled[lengths[shuffled].argsort(stable=True)].split(BATCH)
    parts = [
        ({name: tokens[name][rows, : int(lengths[rows].max())] for name in INPUTS}, labels[rows]) for rows in chosen
    ]
    return [parts[index] for index in torch.randperm(len(parts)).tolist()]


def train(model: PreTrainedModel, tokens: BatchEncoding, labels: Tensor) -> None:
    """AdamW at a rate that falls to zero, on what stands above the last but one layer."""
    top = [*model.bert.encoder.layer[-1].parameters(), *model.bert.pooler.parameters(), *model.classifier.parameters()]
    model.requires_grad_(False)
    for parameter in top:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(top, LEARNING_RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    for _ in range(EPOCHS):
        for inputs, wanted in batches(tokens, labels):
            optimizer.zero_grad()
            model(**inputs, labels=wanted).loss.backward()
            optimizer.step()
            schedule.step()
    model.requires_grad_(True).eval()


def write_snippets(path: Path, texts: list[str], labels: np.ndarray) -> None:
    rows = ({"text": text, "label": int(label)} for text, label in zip(texts, labels, strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    folder, ratings, out = map(Path, sys.argv[1:])
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    texts, labels = read_ratings(ratings)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1}
    )
    known = texts[:TRAIN_EXAMPLES]
    tokens = tokenizer(known, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    train(model, tokens, torch.tensor(labels[:TRAIN_EXAMPLES]))
    for part in (model, tokenizer):
        part.save_pretrained(out / "model")
    write_snippets(out / "snippets.jsonl", texts[TRAIN_EXAMPLES:], labels[TRAIN_EXAMPLES:])


if __name__ == "__main__":
    main()
