"""A linear probe on MiniLM's sentence embeddings, exported as ONNX; `minilm` runs it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

PENALTY = 0.1
"""Weight of the squared norm of the probe's weights; 0.01 to 0.1 were tried, and 0.1 generalizes best from so few."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class SentimentClassifier(nn.Module):
    """Encoder, mean over the tokens that are no padding, linear layer."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 2)

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Sentence embeddings [batch, hidden]."""
        hidden: Tensor = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
        return mean_over_tokens(hidden, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(input_ids, attention_mask, token_type_ids))
        return logits


def mean_over_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean [batch, hidden] of `hidden` over the tokens that are no padding."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def fit_head(model: SentimentClassifier, embeddings: Tensor, labels: Tensor) -> None:
    """Fit the linear layer by L-BFGS on standardized embeddings, then fold the standardization into it."""
    mean, spread = embeddings.mean(0), embeddings.std(0).clamp(min=1e-3)  # one dimension never varies
    standard = (embeddings - mean) / spread
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    optimizer = torch.optim.LBFGS(model.head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model.head(standard), labels) + PENALTY * model.head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        model.head.weight.div_(spread)
        model.head.bias.sub_(model.head.weight @ mean)


def export(model: SentimentClassifier, path: Path) -> None:
    """Write the classifier as ONNX with dynamic batch and sequence."""
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence", min=2, max=512)
    # Three tensors: one object given for two inputs is traced as one input, and the model is silently another.
    examples = (torch.full((2, 16), 7), torch.ones(2, 16, dtype=torch.int64), torch.zeros(2, 16, dtype=torch.int64))
    program = torch.onnx.export(
        model,
        examples,
        dynamo=True,
        opset_version=18,
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_shapes=({0: batch, 1: sequence},) * 3,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(path)
