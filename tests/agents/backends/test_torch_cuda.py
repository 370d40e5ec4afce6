"""Half precision on CUDA, beside the original on the CPU. The quantizers' own tests hold theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.criteria import Device, Target
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.timer import InProcessTimer
from tests.agents.small_llamas import batch, llama_zip, rows
from tests.agents.workshop import FIDELITY, Workshop

pytestmark = pytest.mark.gpu


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
    assert result.timed_by.startswith("CUDA events; ")
    assert not result.busy
    assert (result.speedup.low or 0) < 1.1
    assert (result.speedup.high or 0) > 0.9
    assert result.cpu_speedup is None
