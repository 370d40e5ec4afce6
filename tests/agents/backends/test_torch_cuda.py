"""Half precision on CUDA, beside the original on the CPU. The quantizers' own tests hold theirs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.agents.backends.torch.events import EventStopwatch
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.profile import clock_of
from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.timer import InProcessTimer
from apps.agents.sandbox.programs import SOURCE_ROOT
from tests.agents.small_llamas import batch, llama_zip, rows
from tests.agents.torch_uploads import positions_file
from tests.agents.workshop import FIDELITY, Workshop

pytestmark = pytest.mark.gpu
BACKEND = "apps.agents.backends.torch"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_computes_nearly_the_same(tmp_path: Path, dtype: str):
    workshop = Workshop(tmp_path, "transformers")
    model = llama_zip(tmp_path / "llama")
    made = workshop.apply("torch-half", model, workshop.examples(**rows()), FIDELITY, dtype=dtype)
    feeds = {name: tensor.numpy() for name, tensor in batch().items()}
    wanted = torch.from_numpy(load_model(model, tmp_path).run(feeds)[0])
    found = torch.from_numpy(
        open_engine("transformers", made.artifact, tmp_path).session(Target(device=Device.CUDA))(feeds)[0]
    )
    assert ((found - wanted).norm() / wanted.norm()).item() < 0.02


def test_memory_is_what_was_allocated_on_the_device(tmp_path: Path):
    model = llama_zip(tmp_path / "llama", hidden_size=256, intermediate_size=1024)
    engine = open_engine("transformers", model, tmp_path)
    feeds = {name: tensor.numpy() for name, tensor in batch().items()}
    weights_bytes = 4 * engine.summary.parameters
    assert weights_bytes <= engine.peak_memory_bytes(feeds, Target(device=Device.CUDA)) < 100 * weights_bytes


def test_two_models_are_timed_by_the_devices_events_and_the_clock_rates_are_noted(tmp_path: Path):
    model = llama_zip(tmp_path / "llama", hidden_size=256, intermediate_size=1024)
    engine = open_engine("transformers", model, tmp_path)
    feeds = {name: tensor.numpy() for name, tensor in batch().items()}
    timer = InProcessTimer(engine, engine, Effort(warmup_s=0.1, budget_s=3.0))
    result = timer.compare(feeds, Target(device=Device.CUDA), Question(seed=1))
    assert re.fullmatch(r"CUDA events; driver [\d.]+, cores at \d+ MHz, memory at \d+ MHz", result.timed_by)
    assert not result.busy
    assert (result.speedup.low or 0) < 1.1
    assert (result.speedup.high or 0) > 0.9
    assert result.cpu_speedup is None


FORK = """
import os, sys
{imports}
import torch
assert not torch.cuda.is_initialized()
child = os.fork()
if child == 0:
    square = torch.ones(64, 64, device="cuda")
    os._exit(0 if float((square @ square).sum()) == 64.0**3 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(
    "imports",
    [
        "torch torch._dynamo torch.export",
        f"{BACKEND}.engine {BACKEND}.recovery {BACKEND}.pruning.agent transformers",
    ],
)
def test_a_fork_of_a_process_that_only_imported_computes_on_cuda(imports: str):
    program = FORK.format(imports="".join(f"import {name}\n" for name in imports.split()))
    ended = subprocess.run([sys.executable, "-c", program], cwd=SOURCE_ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_devices_events_measure_what_a_synchronized_clock_does():
    """Products queue up faster than they are computed: a clock that did not wait would read next to nothing."""
    square = torch.randn(4096, 4096, device="cuda")

    def run() -> None:
        for _ in range(10):
            square @ square

    run()
    torch.cuda.synchronize()
    reading = EventStopwatch().time(run, 5)
    now, started = clock_of(Device.CUDA), clock_of(Device.CUDA)()
    for _ in range(5):
        run()
    assert reading.wall_ns / 1e9 == pytest.approx(now() - started, rel=0.2)


@pytest.mark.parametrize("target", [Target(), Target(device=Device.CUDA)])
def test_a_program_that_makes_tensors_computes_and_is_profiled(tmp_path: Path, target: Target):
    engine = open_engine("torch-export", positions_file(tmp_path / "model.pt2"), tmp_path)
    feeds = {"ids": np.arange(12).reshape(2, 6)}
    assert np.allclose(engine.session(target)(feeds)[0], engine.session(Target())(feeds)[0], atol=1e-5)
    assert engine.peak_memory_bytes(feeds, target) > 0
    engine.profile(feeds, target, runs=2)
    assert np.allclose(engine.session(target)(feeds)[0], engine.session(Target())(feeds)[0], atol=1e-5)
