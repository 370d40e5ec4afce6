"""What the proof is made with: the sample models, their int8 forms as Lathe makes them, and the sample images."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.job import JobResult
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.state import StepKind, StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.datasets.loading import Dataset, load_dataset
from apps.agents.evaluation.metrics.comparing import Array
from apps.agents.measuring.effort import Effort
from apps.agents.measuring.engine import Engine, open_engine
from apps.agents.measuring.fresh_processes import FreshProcessTimer
from apps.agents.measuring.protocol import ModelFile
from apps.agents.sandbox.process import run_job
from apps.agents.techniques.catalogue import catalogue

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
IMAGES = SAMPLES / "fashion_mnist_test.npz"
SPEC = DatasetSpec(kind="npz", task=Task.CLASSIFICATION)
STATIC = "onnx-static-int8"
BATCH = 64


@dataclass(frozen=True)
class Answers:
    """What two models say of every example: scores `[examples, classes]`."""

    name: str
    original: Array
    candidate: Array
    labels: Array
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """One sample model, with folders of its own under `root`."""

    name: str
    original: Path
    root: Path
    images: Path = IMAGES
    """Pictures and labels: the sample's 4,000, or more of the same data set."""

    @cached_property
    def int8(self) -> Path:
        """As a session's optimize step makes it."""
        parameters = catalogue()[STATIC].resolve({})
        request = StepRequest(
            key="optimize", kind=StepKind.OPTIMIZE, queue="cpu", reason="", technique=STATIC, parameters=parameters
        )
        result, folder = self.job(request, {"original": self.original, "model": self.original}, seed=0)
        return folder / result.files[0].path

    @cached_property
    def answers(self) -> Answers:
        """Of the original and its int8 form."""
        with np.load(self.images) as stored:
            labels = stored["y"]
        both = [self._answered(path) for path in (self.original, self.int8)]
        return Answers(f"{self.name} and its int8 form", both[0], both[1], labels, tuple(map(str, range(10))))

    def lost_points(self, path: Path) -> float:
        """Points of top-1 that a candidate loses of all examples."""
        known = self.answers
        rights = [scores.argmax(1) == known.labels for scores in (known.original, self._answered(path))]
        return float(rights[0].mean() - rights[1].mean()) * 100

    def _answered(self, path: Path) -> Array:
        with np.load(self.images) as stored:
            images = stored["image"].astype(np.float32)
        run = self.engine(path).session(Target())
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([run({"image": batch})[0] for batch in batches])

    def engine(self, path: Path | None = None) -> Engine:
        return open_engine("onnx", path or self.original, self.folder())

    def dataset(self, seed: int, examples: int | None = None) -> Dataset:
        """The sample images, or the first of them only, split by `seed`."""
        summary = self.engine().summary
        path = self.images if examples is None else self._first(examples)
        return load_dataset(path, SPEC, summary.inputs, seed, scratch=self.folder(), outputs=summary.outputs)

    def _first(self, examples: int) -> Path:
        path = self.folder() / "images.npz"
        with np.load(self.images) as stored:
            np.savez(path, image=stored["image"][:examples], y=stored["y"][:examples])
        return path

    def job(self, request: StepRequest, inputs: Mapping[str, Path], seed: int, **known: Any) -> tuple[JobResult, Path]:
        """What a real child makes of a step, and the folder that it worked in. Raises `JobFailed`."""
        folder = self.folder()
        facts = StepFacts(seed=seed, original_format="onnx", format="onnx", dataset=SPEC, **known)
        job = job_for(request, facts, scratch=folder, inputs={**inputs, "dataset": self.images})
        return run_job(job, on_event=_unheard, should_stop=lambda: False), folder

    def timer(self, candidate: Path, effort: Effort) -> FreshProcessTimer:
        """Of the original and `candidate`."""
        original, other = (ModelFile(format="onnx", path=path) for path in (self.original, candidate))
        return FreshProcessTimer(original, other, self.folder(), effort)

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root))


def resnet(root: Path) -> Material:
    return Material("ResNet", SAMPLES / "fashion_resnet.onnx", root)


def depthwise(root: Path) -> Material:
    return Material("the depthwise CNN", SAMPLES / "fashion_mobilenet.onnx", root)


class Unheard:
    """A context for agents whose progress nobody watches."""

    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None: ...

    def log(self, message: str, level: str = "info") -> None: ...

    def metric(self, name: str, value: float, step: int | None = None) -> None: ...


def _unheard(event: object) -> None:
    """Progress of a child that nobody watches."""
