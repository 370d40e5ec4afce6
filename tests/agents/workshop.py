"""Techniques applied in the test's own process: a model, a data set, a technique's name and its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.formats import Format
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.base import Assignment, BaseOptimizationAgent, Optimized, agent_for, spec_of
from apps.agents.techniques.catalogue import TechniqueSpec
from tests.agents.told import Told

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
RESNET = SAMPLES / "fashion_resnet.onnx"
DEPTHWISE = SAMPLES / "fashion_mobilenet.onnx"
FASHION = SAMPLES / "fashion_mnist_test.npz"
CLASSIFICATION = DatasetSpec(kind="npz", task="classification")
FIDELITY = DatasetSpec(kind="npz", task="fidelity")


class Workshop:
    """A place to work: `apply` gives each technique folders of its own under `root`."""

    def __init__(self, root: Path, format: str = Format.ONNX) -> None:  # noqa: A002 - the contract's word
        self.root = root
        self.format = format
        self.told = Told()
        self._jobs = 0

    def examples(self, **arrays: NDArray[Any]) -> Path:
        path = self.root / f"examples-{len(list(self.root.iterdir()))}.npz"
        np.savez(path, **arrays)
        return path

    def assignment(
        self,
        technique: str | TechniqueSpec,
        model: Path,
        dataset: Path = FASHION,
        spec: DatasetSpec = CLASSIFICATION,
        *,
        batch_divisor: int = 1,
        **parameters: object,
    ) -> Assignment:
        self._jobs += 1
        folder = self.root / f"job-{self._jobs}"
        (folder / "work").mkdir(parents=True)
        (folder / "out").mkdir()
        if isinstance(technique, TechniqueSpec):
            found, complete = technique, technique.resolve(parameters)
        else:
            found, complete = spec_of(technique, parameters)
        engine = open_engine(self.format, model, folder / "work")
        return Assignment(
            spec=found,
            parameters=complete,
            model=model,
            dataset=load_dataset(
                dataset, spec, engine.summary.inputs, seed=0, scratch=folder / "work", encoder=engine.encoder
            ),
            scratch=folder / "work",
            out=folder / "out",
            batch_divisor=batch_divisor,
            format=self.format,
            encoder=engine.encoder,
            further_inputs={role: ModelFile(format=self.format, path=model) for role in found.inputs},
        )

    def run(self, assignment: Assignment, agent: BaseOptimizationAgent | None = None) -> Optimized:
        return (agent or agent_for(assignment.spec)).run(assignment, self.told)

    def apply(self, technique: str, model: Path, *more: Any, **parameters: object) -> Optimized:
        return self.run(self.assignment(technique, model, *more, **parameters))


def loaded(made: Optimized) -> onnx.ModelProto:
    return onnx.load(str(made.artifact))


def operators(made: Optimized) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in loaded(made).graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def sqnr_db(made: Optimized) -> float:
    """As the artifact's last validation told it."""
    words = next(check for check in made.result.checks if " dB" in check).split()
    return float(words[words.index("dB") - 1])
