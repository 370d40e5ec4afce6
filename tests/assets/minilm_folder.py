"""A sentiment classifier of MiniLM as transformers knows it, BertForSequenceClassification; `minilm` runs it.

It reads the first token through the pooler, where MiniLM gathers little (a linear probe there: 0.73), so the last
layer, the pooler and the classifier are trained. All below stays as published, and so do the last layer's keys and
values: then one look at the texts is enough, and every step of training costs one token for each.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

EPOCHS = 4
BATCH = 20
LEARNING_RATE = 1e-3


class First:
    """What the first token of each text becomes above the last but one layer, with gradients."""

    def __init__(self, model: PreTrainedModel, entering: Tensor, real: Tensor) -> None:
        """`entering` [N, sequence, hidden] is the last layer's input, `real` [N, sequence] false at padding."""
        self.model, self.layer = model, model.bert.encoder.layer[-1]
        attention = self.layer.attention.self
        self.heads = attention.num_attention_heads
        self.first, self.mask = entering[:, 0], real[:, None, None, :]
        with torch.no_grad():
            self.keys, self.values = (self._by_head(part(entering)) for part in (attention.key, attention.value))

    def logits(self, rows: Tensor) -> Tensor:
        """Logits [rows, labels] of the texts `rows`, as the whole model gives them."""
        layer, first = self.layer, self.first[rows]
        query = self._by_head(layer.attention.self.query(first)[:, None])
        context = nn.functional.scaled_dot_product_attention(
            query, self.keys[rows], self.values[rows], attn_mask=self.mask[rows]
        )
        attended = layer.attention.output(context.flatten(1), first)
        hidden = layer.output(layer.intermediate(attended), attended)
        return self.model.classifier(self.model.dropout(self.model.bert.pooler(hidden[:, None])))

    def trained(self) -> list[nn.Parameter]:
        attention = self.layer.attention
        parts = (attention.self.query, attention.output, self.layer.intermediate, self.layer.output)
        top = (*parts, self.model.bert.pooler, self.model.classifier)
        return [parameter for part in top for parameter in part.parameters()]

    def _by_head(self, rows: Tensor) -> Tensor:
        """[N, sequence, hidden] as [N, heads, sequence, width of a head]."""
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def train(first: First, labels: Tensor) -> None:
    """AdamW at a rate that falls to zero."""
    optimizer = torch.optim.AdamW(first.trained(), LEARNING_RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(first.logits(rows), labels[rows]).backward()
            optimizer.step()
            schedule.step()


def make_classifier(folder: Path, entering: Tensor, real: Tensor, labels: Tensor) -> PreTrainedModel:
    """The encoder of `folder` with a trained classifier; `entering` and `real` as `First` takes them."""
    names = ("negative", "positive")
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        local_files_only=True,
        id2label=dict(enumerate(names)),
        label2id={name: label for label, name in enumerate(names)},
    )
    model.train()
    train(First(model, entering, real), labels)
    return model.eval()
