"""What a CUDA device brings to training, and whether it computes and measures what it should: a table.

    python -m benchmarks.cuda                 everything, about three minutes on an H100
    python -m benchmarks.cuda --steps 20      a shorter training; without a device only the CPU's line

Recovery training of the samples' ResNet, half of it cut away, on the labels of Fashion-MNIST's test pictures: the same
steps on the CPU in float32, on CUDA in float32 and in mixed precision. The loss is that of held-out examples, so the
three should agree. Then the same for a Llama of 100 million random weights, whose teacher is itself before noise was
added to it, where products of matrices are large; and a training that is given a quarter of a minute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.backends.torch.events import EventStopwatch
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.loading import load_dataset
from apps.agents.files.reproducible_zip import write_zip
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.measuring.timer import InProcessTimer
from apps.agents.techniques.base import Assignment, Optimized, agent_for, spec_of
from benchmarks.links import Teller
from benchmarks.prune_and_recover import ROOT, exported, original_network

SAMPLE = ROOT / "samples" / "fashion_mnist_test.npz"
PLACES = (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16"))
MINUTES = 0.25
SHARE = 0.5


class Quiet(Teller):
    def progress(self, fraction: float, message: str, eta_s: float | None = None) -> None:
        """Says nothing."""

    def log(self, message: str, level: Any = "info") -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Lesson:
    """A model to train, the original that it came from, and what both take."""

    name: str
    format: str
    model: Path
    original: Path
    data: Path
    spec: DatasetSpec

    def apply(self, technique: str, folder: Path, threads: int, **parameters: Any) -> Optimized:
        """One technique, in this process."""
        found, complete = spec_of(technique, parameters)
        work = Path(tempfile.mkdtemp(dir=folder))
        (work / "out").mkdir()
        engine = open_engine(self.format, self.model, work)
        assignment = Assignment(
            spec=found,
            parameters=complete,
            model=self.model,
            dataset=load_dataset(self.data, self.spec, engine.summary.inputs, 0, scratch=work),
            scratch=work,
            out=work / "out",
            threads=threads,
            format=self.format,
            further_inputs={role: ModelFile(format=self.format, path=self.original) for role in found.inputs},
        )
        return agent_for(found).run(assignment, Quiet())


def resnet(folder: Path, threads: int) -> Lesson:
    """The sample with half of its multiply-accumulates cut away."""
    images = np.load(SAMPLE)["image"]
    network = original_network(torch.from_numpy(images[:1000].astype(np.float32)))
    original = exported(network, folder / "resnet.pt2")
    spec = DatasetSpec(kind="npz", task="classification", training_share=SHARE)
    whole = Lesson("ResNet", "torch-export", original, original, SAMPLE, spec)
    cut = whole.apply("torch-prune", folder, threads, macs_removed=0.5)
    print(f"ResNet, pruned with {'a' if torch.cuda.is_available() else 'no'} device present: {cut.result.checks[-1]}")
    return replace(whole, model=cut.artifact)


def llama(folder: Path) -> Lesson:
    """A Llama of random weights, and the same with noise added to each."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=256,
    )
    network, files = LlamaForCausalLM(config).eval(), []
    for name in ("original", "noisy"):
        network.save_pretrained(folder / name)
        inner = [(file.name, file) for file in sorted((folder / name).iterdir())]
        files.append(write_zip(folder / f"{name}.zip", inner, compress=False))
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.2 * weight.std() * torch.randn_like(weight) if weight.ndim > 1 else 0.0
    ids = np.random.default_rng(0).integers(3, 4096, (256, 256))
    np.savez(folder / "tokens.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    spec = DatasetSpec(kind="npz", task="fidelity", training_share=SHARE)
    return Lesson("Llama", "transformers", files[1], files[0], folder / "tokens.npz", spec)


@contextmanager
def only(device: str) -> Iterator[None]:
    """Within it Lathe finds no device but this."""
    if device == "cuda":
        yield
        return
    with patch.object(torch.cuda, "is_available", lambda: False):
        yield


def compare(lesson: Lesson, folder: Path, threads: int, *, steps: dict[str, int], **parameters: Any) -> None:
    """A line for each place: steps in a second, and the held-out loss before and after."""
    for device, precision in PLACES:
        if device == "cuda" and not torch.cuda.is_available():
            continue
        with only(device):
            made = lesson.apply(
                "torch-recover", folder, threads, steps=steps[device], precision=precision, **parameters
            )
        found = made.result.evidence
        rate = found["steps"] / found["seconds"]
        print(
            f"{lesson.name}, {found['device']} {found['precision']}, batches of {parameters['batch_size']}: "
            f"{found['steps']} steps in {found['seconds']:.1f} s, {rate:.1f} a second, held-out loss "
            f"{found['held_out_loss_before']:.4f} → {found['held_out_loss_after']:.4f}",
            flush=True,
        )


def within_minutes(lesson: Lesson, folder: Path, threads: int) -> None:
    """Whether a training takes the time that it is given."""
    started = time.monotonic()
    found = lesson.apply("torch-recover", folder, threads, minutes=MINUTES, batch_size=128).result.evidence
    print(
        f"{lesson.name}, {found['device']}: given {60 * MINUTES:.0f} s, trained {found['seconds']:.1f} s in "
        f"{found['steps']} steps, {time.monotonic() - started:.1f} s in all",
        flush=True,
    )


def timed(lesson: Lesson, folder: Path, threads: int) -> None:
    """The original beside half precision and beside the CPU, by the device's events."""
    half = lesson.apply("torch-half", folder, threads, dtype="bfloat16").artifact
    engines = [open_engine(lesson.format, path, folder) for path in (lesson.model, half)]
    with np.load(lesson.data) as data:
        names = [spec.name for spec in engines[0].summary.inputs]
        feeds = {name: data[name][:16] for name in names}
    for batch in (1, 16):
        given = {name: array[:batch].astype(np.int64) for name, array in feeds.items()}
        timer = InProcessTimer(engines[0], engines[1], Effort(warmup_s=0.5, budget_s=6.0))
        found = timer.compare(given, Target(device=Device.CUDA, threads=threads), Question(seed=0))
        print(f"{lesson.name}, {batch} rows, bfloat16 beside float32: {found.speedup} ({found.timed_by})", flush=True)
    target = Target(device=Device.CUDA, threads=threads)
    for engine, name in zip(engines, ("float32", "bfloat16"), strict=True):
        peak = engine.peak_memory_bytes(feeds, target)
        print(f"{lesson.name} {name}: {peak / 2**20:.0f} MiB of device memory at its peak, 16 rows", flush=True)


def device_facts() -> None:
    versions = f"torch {torch.__version__}, Python {sys.version.split()[0]}"
    if torch.cuda.is_available():
        free, whole = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        clocks = EventStopwatch().describe()
        print(f"{name}, {whole / 2**30:.1f} GiB ({free / 2**30:.1f} free), {clocks}; {versions}", flush=True)
    else:
        print(f"no CUDA device; {versions}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="of the ResNet's training (200)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    parser.add_argument("--only", choices=("resnet", "llama"), help="one of the two models")
    given = parser.parse_args()
    device_facts()
    with tempfile.TemporaryDirectory(prefix="cuda-") as name:
        folder = Path(name)
        if given.only != "llama":
            lesson = resnet(folder, given.threads)
            for batch in (64, 512):
                steps = {"cpu": given.steps if batch == 64 else max(1, given.steps // 8), "cuda": given.steps}
                compare(lesson, folder, given.threads, steps=steps, batch_size=batch, learning_rate=0.002)
            within_minutes(lesson, folder, given.threads)
        if given.only != "resnet":
            lesson = llama(folder)
            steps = {"cpu": max(1, given.steps // 100), "cuda": max(1, given.steps // 4)}
            compare(lesson, folder, given.threads, steps=steps, batch_size=16, learning_rate=2e-5)
            if torch.cuda.is_available():
                timed(lesson, folder, given.threads)


if __name__ == "__main__":
    main()
