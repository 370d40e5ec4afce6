"""Make a sentiment classifier of MiniLM and labelled snippets for it; run as a script, in a process of its own.

    python minilm.py MODEL_FOLDER RATINGS.tar.gz OUT_FOLDER

Writes `model.onnx` (input_ids, attention_mask, token_type_ids, int64 [batch, sequence] → logits [batch, 2]) and
`examples.npz` (the same inputs for `TEST_EXAMPLES` snippets, and `y`). The classifier is a linear probe on mean-pooled
embeddings: a logistic regression on snippets that are in no example. Only clearly rated snippets count (beyond ±1 of
±4), since people disagree about the others. torch and transformers stay out of the test process this way.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BatchEncoding, PreTrainedModel

SEED = 0
TRAIN_EXAMPLES = 1400
TEST_EXAMPLES = 3000
LENGTH = 64
CLEAR_RATING = 1.0
PENALTY = 0.1
"""Weight of the squared norm of the probe's weights; 0.01 to 0.1 were tried, and 0.1 generalizes best from so few."""
RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
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
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(input_ids, attention_mask, token_type_ids))
        return logits


def read_ratings(archive: Path) -> tuple[list[str], np.ndarray]:
    """Clearly rated snippets in a seeded order, and whether each is positive."""
    with tarfile.open(archive) as source:
        stream = source.extractfile(RATINGS)
        assert stream is not None
        rows = [line.split("\t") for line in stream.read().decode("utf-8", "replace").splitlines()]
    clear = [(row[2], float(row[1]) > 0) for row in rows if len(row) == 3 and abs(float(row[1])) > CLEAR_RATING]
    order = np.random.default_rng(SEED).permutation(len(clear))[: TRAIN_EXAMPLES + TEST_EXAMPLES]
    return [clear[i][0] for i in order], np.array([clear[i][1] for i in order], dtype=np.int64)


def fit_head(model: SentimentClassifier, tokens: BatchEncoding, labels: np.ndarray) -> None:
    """Fit the linear layer by L-BFGS on standardized embeddings, then fold the standardization into it."""
    lengths = tokens["attention_mask"][: len(labels)].sum(1)
    order = lengths.argsort()
    with torch.no_grad():
        parts = [  # short ones together and without their padding: half the work
            model.embed(*(tokens[name][chosen, : int(lengths[chosen].max())] for name in INPUTS))
            for chosen in order.split(50)
        ]
    embeddings, wanted = torch.cat(parts), torch.tensor(labels)[order]
    mean, spread = embeddings.mean(0), embeddings.std(0).clamp(min=1e-3)  # one dimension never varies
    standard = (embeddings - mean) / spread
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    optimizer = torch.optim.LBFGS(model.head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model.head(standard), wanted) + PENALTY * model.head.weight.square().sum()
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


def main() -> None:
    folder, ratings, out = map(Path, sys.argv[1:])
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # more would only wait for each other where the tests share the machine
    texts, labels = read_ratings(ratings)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # The eager attention exports to plain MatMul and Softmax, whose mask is the number that full int8 stumbles over.
    encoder = AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager")
    model = SentimentClassifier(encoder).eval()
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    fit_head(model, tokens, labels[:TRAIN_EXAMPLES])
    export(model, out / "model.onnx")
    examples = {name: tokens[name][TRAIN_EXAMPLES:].numpy().astype(np.int64) for name in INPUTS}
    np.savez_compressed(out / "examples.npz", **examples, y=labels[TRAIN_EXAMPLES:])


if __name__ == "__main__":
    main()
