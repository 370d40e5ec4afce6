"""Record what every candidate of a few real models really gains: python -m benchmarks.memory.record NAME…

Each candidate is made and measured as the worker does it, each in a child of its own. It takes about two minutes for a
model on an idle machine; `replay` then needs none of them. Recorded are models in `samples/` and other small networks,
`variants`, which are trained here on 3,000 of the sample images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.criteria import Budget, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.state import StepKind, StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.datasets.loading import load_dataset
from apps.agents.measuring.engine import open_engine
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.chains import Heads, application_of
from apps.agents.planning.prediction import suited
from apps.agents.sandbox.process import JobFailed, run_job
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.variants import variants_of
from benchmarks.memory import recording
from benchmarks.memory.recording import LEFT_OUT, Measured, Recording
from benchmarks.memory.variants import VARIANTS, train_variant

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SPEC = DatasetSpec(kind="npz", task=Task.CLASSIFICATION)
CRITERIA = Criteria(budget=Budget(minutes=10, candidates=20))
EXAMPLES = 1000
"""The last of the sample images: the variants are trained on the first."""
SEED = 7


@dataclass(frozen=True)
class Workplace:
    """A model with its data, in a folder for everything that is made."""

    name: str
    model: Path
    data: Path
    folder: Path

    def record(self) -> Recording:
        analysis = AnalysisReport.model_validate(self._job(StepKind.ANALYSE, {})[0])
        measured = [one for chain in self._chains(analysis) if (one := self._measured(chain, analysis)) is not None]
        return Recording(name=self.name, dataset=self._dataset(), analysis=analysis, measured=tuple(measured))

    def _dataset(self) -> DatasetSummary:
        summary = open_engine("onnx", self.model, self._scratch()).summary
        return load_dataset(self.data, SPEC, summary.inputs, SEED, scratch=self._scratch()).summary

    def _chains(self, analysis: AnalysisReport) -> Iterator[Chain]:
        """Every variant of every technique for ONNX, with what prepares it."""
        bases = bases_of_analyses(analysis, (), Task.CLASSIFICATION)
        specs = {name: spec for name, spec in catalogue().items() if "onnx" in spec.formats and name not in LEFT_OUT}
        heads = Heads(bases, catalogue(), specs.__contains__)
        for spec in specs.values():
            for variant in variants_of(spec, bases.profile(spec)):
                given, _ = suited(spec, variant.parameters, bases.profile(spec), CRITERIA)
                yield (*heads.of(spec), application_of(spec, spec.resolve(given)))

    def _measured(self, chain: Chain, analysis: AnalysisReport) -> Measured | None:
        """`None` if a technique cannot be applied; optional links that cannot be are left out."""
        model, kept, making_s = self.model, (), 0.0
        for link in chain:
            started = time.monotonic()
            known = {"technique": link.technique, "parameters": link.parameters}
            try:
                _, model = self._job(StepKind.OPTIMIZE, known, model)
            except JobFailed as error:
                print(f"  {link.named}: {error}", file=sys.stderr)
                if not link.optional:
                    return None
                continue
            kept, making_s = (*kept, link), time.monotonic() - started
        started = time.monotonic()
        part = {"technique": chain[-1].technique, "parameters": {"part": Part.CHOOSING.value}}
        body, _ = self._job(StepKind.EVALUATE, part, model)
        report = EvaluationReport.model_validate(body)
        print(f"  {kept[-1].named}: {report.latency.speedup.value:.2f}×, {report.primary.drop.value:+.2f}", flush=True)
        return Measured(steps=kept, report=report, making_s=making_s, measuring_s=time.monotonic() - started)

    def _job(self, kind: StepKind, known: dict, model: Path | None = None) -> tuple[dict, Path]:  # type: ignore[type-arg]
        """The body of a step's result, and what it made, if it makes a model."""
        folder = self._scratch()
        request = StepRequest(key=kind.value, kind=kind, queue="cpu", reason="", candidate="c01", **known)
        facts = StepFacts(
            seed=SEED, original_format="onnx", format="onnx", dataset=SPEC, criteria=CRITERIA, timing_s=8.0
        )
        inputs = {"original": self.model, "model": model or self.model, "dataset": self.data}
        job = job_for(request, facts, scratch=folder, inputs=inputs)
        result = run_job(job, on_event=lambda event: None, should_stop=lambda: False)
        return result.body, folder / result.files[0].path if result.files else self.model

    def _scratch(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


def _images(folder: Path) -> Path:
    path = folder / "images.npz"
    with np.load(SAMPLES / "fashion_mnist_test.npz") as stored:
        np.savez(path, image=stored["image"][-EXAMPLES:], y=stored["y"][-EXAMPLES:])
    return path


def _sample(name: str) -> Callable[[Path], tuple[Path, Path]]:
    return lambda folder: (SAMPLES / f"{name}.onnx", _images(folder))


def _variant(name: str) -> Callable[[Path], tuple[Path, Path]]:
    return lambda folder: (train_variant(name, folder), _images(folder))


MODELS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    **{name: _sample(name) for name in ("fashion_resnet", "fashion_mobilenet")},
    **{name: _variant(name) for name in VARIANTS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MODELS)} (default: all)")
    for name in parser.parse_args().names or MODELS:
        with tempfile.TemporaryDirectory(prefix="lathe-record-") as root:
            print(name, flush=True)
            model, data = MODELS[name](Path(root))
            print(recording.write(Workplace(name, model, data, Path(root)).record()), flush=True)


if __name__ == "__main__":
    main()
