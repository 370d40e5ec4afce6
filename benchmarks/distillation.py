"""Whether a student of a quarter of the parameters learns more with its teacher than without, at the same steps.

    python -m benchmarks.distillation --data /usr/share/datasets/fashion-mnist

The teacher is the sample ResNet with its batch norms. Each row of the table is a way of training the same student for
the same number of steps on the same examples, once for each seed: with labels alone, and with the teacher. Every
student is made by the technique `torch-distill`, as a session does it. Accuracy is that of Fashion-MNIST's 10,000 test
pictures, which nothing is trained or chosen on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, agent_for, spec_of
from benchmarks.links import Teller
from benchmarks.prune_and_recover import exported, original_network, train

FORMAT = "torch-export"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "labels alone": {"distill": 0.0},
    "labels and teacher": {"distill": 0.5},
    "teacher alone": {"distill": 1.0},
    "labels, teacher, hidden states": {"distill": 0.5, "hidden_weight": 1.0},
    "labels, teacher, angle": {"distill": 0.5, "cosine_weight": 1.0},
}


@dataclass(frozen=True)
class School:
    """Where students learn, on one data set."""

    folder: Path
    teacher: Path
    dataset: Path
    spec: DatasetSpec

    def student(self, seed: int, parameters: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
        """A trained student, and the evidence of its training."""
        found, complete = spec_of("torch-distill", parameters)
        work = Path(tempfile.mkdtemp(dir=self.folder))
        (work / "out").mkdir()
        inputs = open_engine(FORMAT, self.teacher, work).summary.inputs
        assignment = Assignment(
            spec=found,
            parameters=complete,
            model=self.teacher,
            dataset=load_dataset(self.dataset, self.spec, inputs, 0, scratch=work),
            scratch=work,
            out=work / "out",
            seed=seed,
            format=FORMAT,
            further_inputs={"teacher": ModelFile(format=FORMAT, path=self.teacher)},
        )
        made = agent_for(found).run(assignment, Teller())
        return made.artifact, made.result.evidence


def accuracy(model: Path, images: np.ndarray, labels: np.ndarray, folder: Path) -> float:
    """In per cent."""
    loaded, right = load_model(model, folder), 0
    for start in range(0, len(images), 250):
        pixels = images[start : start + 250].astype(np.float32)
        right += int((loaded.run({"image": pixels})[0].argmax(1) == labels[start : start + 250]).sum())
    return 100 * right / len(images)


def row(name: str, found: list[float], base: list[float]) -> str:
    """A line of the table; the difference is that of the same seeds."""
    differences = [a - b for a, b in zip(found, base, strict=True)]
    each = " / ".join(f"{one:.2f}" for one in found)
    return (
        f"| {name} | {each} | {statistics.mean(found):.2f} ± {statistics.stdev(found):.2f} "
        f"| {statistics.mean(differences):+.2f} ({min(differences):+.2f} to {max(differences):+.2f}) |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--pictures", type=int, default=20_000, help="of the training pictures (20,000)")
    parser.add_argument("--training-share", type=float, default=0.7, help="of them, to train on (0.7)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--initial", choices=("teacher", "fresh"), default="fresh")
    parser.add_argument("--share", type=float, default=0.25, help="of the parameters (0.25)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", type=int, default=len(WAYS), help="how many of the ways, the first ones")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = (part[: given.pictures].numpy() for part in train.read_split(given.data, "train"))
    test = tuple(part.numpy() for part in train.read_split(given.data, "t10k"))
    shared = {
        "student_parameters": given.share,
        "initial": given.initial,
        "steps": given.steps,
        "batch_size": given.batch_size,
        "learning_rate": given.learning_rate,
        "temperature": given.temperature,
    }
    with tempfile.TemporaryDirectory(prefix="distill-") as name:
        folder = Path(name)
        np.savez(folder / "data.npz", image=images, y=labels)
        network = original_network(torch.from_numpy(images[:1000].astype(np.float32)))
        teacher = exported(network, folder / "original.pt2")
        spec = DatasetSpec(kind="npz", task="classification", training_share=given.training_share)
        school = School(folder, teacher, folder / "data.npz", spec)
        print(f"teacher: {accuracy(teacher, *test, folder):.2f} %", flush=True)
        base: list[float] = []
        for way, parameters in list(WAYS.items())[: given.ways]:
            found = []
            for seed in range(given.seeds):
                student, evidence = school.student(seed, {**shared, **parameters})
                found.append(accuracy(student, *test, folder))
            base = base or found
            print(row(way, found, base), flush=True)
        print(f"{evidence['examples']:,} examples; {evidence['parameters_left']:.1%} of the parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
