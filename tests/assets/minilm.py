"""Make sentiment classifiers of MiniLM and labelled snippets for them; run as a module, in a process of its own.

    python -m tests.assets.minilm MODEL_FOLDER RATINGS.tar.gz OUT_FOLDER

Writes for ONNX `model.onnx` (input_ids, attention_mask, token_type_ids, int64 [batch, sequence] → logits [batch, 2]:
a linear probe on mean-pooled embeddings, `minilm_probe`) and `examples.npz` (the same inputs for `TEST_EXAMPLES`
snippets, and `y`); for transformers the folder `model` (BertForSequenceClassification, `minilm_folder`) and
`snippets.jsonl` (`text`, `label`), the same examples. Both are fitted to other snippets, which pass through the encoder
once. Only clearly rated snippets count (beyond ±1 of ±4), since people disagree about the others.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from tests.assets.minilm_folder import make_classifier
from tests.assets.minilm_probe import INPUTS, SentimentClassifier, export, fit_head, mean_over_tokens

SEED = 0
TRAIN_EXAMPLES = 1400
TEST_EXAMPLES = 3000
LENGTH = 64
BATCH = 50
CLEAR_RATING = 1.0
RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def read_ratings(archive: Path) -> tuple[list[str], np.ndarray]:
    """Clearly rated snippets in a seeded order, and whether each is positive."""
    with tarfile.open(archive) as source:
        stream = source.extractfile(RATINGS)
        assert stream is not None
        rows = [line.split("\t") for line in stream.read().decode("utf-8", "replace").splitlines()]
    clear = [(row[2], float(row[1]) > 0) for row in rows if len(row) == 3 and abs(float(row[1])) > CLEAR_RATING]
    order = np.random.default_rng(SEED).permutation(len(clear))[: TRAIN_EXAMPLES + TEST_EXAMPLES]
    return [clear[i][0] for i in order], np.array([clear[i][1] for i in order], dtype=np.int64)


def features(encoder: PreTrainedModel, tokens: BatchEncoding) -> tuple[Tensor, Tensor]:
    """Mean-pooled embeddings [N, hidden], and what enters the last layer [N, LENGTH, hidden], zero at padding."""
    lengths = tokens["attention_mask"].sum(1)
    embeddings = torch.zeros(len(lengths), encoder.config.hidden_size)
    entering = torch.zeros(len(lengths), LENGTH, encoder.config.hidden_size)
    with torch.no_grad():
        for chosen in lengths.argsort().split(BATCH):  # short ones together and without their padding: half the work
            longest = int(lengths[chosen].max())
            inputs = {name: tokens[name][chosen, :longest] for name in INPUTS}
            seen = encoder(**inputs, output_hidden_states=True)
            embeddings[chosen] = mean_over_tokens(seen.last_hidden_state, inputs["attention_mask"])
            entering[chosen, :longest] = seen.hidden_states[-2]
    return embeddings, entering


def tokenized(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> BatchEncoding:
    return tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")


def write_snippets(path: Path, texts: list[str], labels: np.ndarray) -> None:
    rows = ({"text": text, "label": int(label)} for text, label in zip(texts, labels, strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    folder, ratings, out = map(Path, sys.argv[1:])
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # more would only wait for each other where the tests share the machine
    texts, labels = read_ratings(ratings)
    held_out, answers = texts[TRAIN_EXAMPLES:], labels[TRAIN_EXAMPLES:]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # The eager attention exports to plain MatMul and Softmax, whose mask is the number that full int8 stumbles over.
    encoder = AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager").eval()
    known, wanted = tokenized(tokenizer, texts[:TRAIN_EXAMPLES]), torch.tensor(labels[:TRAIN_EXAMPLES])
    embeddings, entering = features(encoder, known)

    probe = SentimentClassifier(encoder).eval()
    fit_head(probe, embeddings, wanted)
    export(probe, out / "model.onnx")
    examples = {name: values.numpy().astype(np.int64) for name, values in tokenized(tokenizer, held_out).items()}
    np.savez_compressed(out / "examples.npz", **{name: examples[name] for name in INPUTS}, y=answers)

    classifier = make_classifier(folder, entering, known["attention_mask"].bool(), wanted)
    for part in (classifier, tokenizer):
        part.save_pretrained(out / "model")
    write_snippets(out / "snippets.jsonl", held_out, answers)


if __name__ == "__main__":
    main()
