"""Timing in fresh processes: real ones, on small models."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.measuring import fresh_processes
from apps.agents.measuring.effort import Effort, Question
from apps.agents.measuring.fresh_processes import FreshProcessTimer
from apps.agents.measuring.protocol import ModelFile, Request
from apps.agents.measuring.timing_process import contenders
from tests.agents import graphs

QUICK = Effort(warmup_runs=2, warmup_s=0.01, block_s=0.005, budget_s=6.0)
FEEDS = {"x": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    path = tmp_path / "model.onnx"
    onnx.save(graphs.convolutions(), path)
    return ModelFile(format="onnx", path=path)


def timer(model: ModelFile, tmp_path: Path, candidate: ModelFile | None = None) -> FreshProcessTimer:
    return FreshProcessTimer(model, candidate or model, tmp_path, QUICK)


def test_a_model_is_timed_against_itself_in_three_processes_at_least(model: ModelFile, tmp_path: Path):
    told: list[tuple[float, float | None]] = []
    result = timer(model, tmp_path).compare(
        FEEDS, Target(), Question(seed=1), lambda fraction, eta_s: told.append((fraction, eta_s))
    )
    assert 3 <= result.processes <= 6
    assert result.runs > 0
    assert result.priority
    assert result.busy or (result.speedup.low or 0) < 1.1
    assert result.busy or (result.speedup.high or 0) > 0.9
    fractions = [fraction for fraction, _ in told]
    assert all(0 < fraction <= 1 for fraction in fractions)
    assert fractions[-1] > fractions[0]
    assert all(eta_s is not None and eta_s >= 0 for _, eta_s in told)
    assert not list(tmp_path.glob("timing-*")), "what the processes needed is gone"


def test_the_reason_why_a_process_ended_is_told(model: ModelFile, tmp_path: Path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.path.read_bytes()[:200])
    with pytest.raises(ModelRunFailed, match="the process that times both models ended: "):
        timer(model, tmp_path, ModelFile(format="onnx", path=broken)).compare(FEEDS, Target(), Question(seed=1))


def test_a_process_that_the_kernel_kills_counts_as_out_of_memory(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shell = tmp_path / "python"
    shell.write_text("#!/bin/sh\nkill -9 $$\n")
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    with pytest.raises(MemoryError, match="killed"):
        timer(model, tmp_path).compare(FEEDS, Target(), Question(seed=1))


def test_a_process_that_hangs_is_ended(model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shell = tmp_path / "python"
    shell.write_text("#!/bin/sh\nexec sleep 600\n")
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))
    monkeypatch.setattr(fresh_processes, "TIMEOUT_S", 0.5)
    with pytest.raises(ModelRunFailed, match="the process that times both models took more than"):
        timer(model, tmp_path).compare(FEEDS, Target(), Question(seed=1))


def test_a_fresh_process_imports_what_its_formats_need_and_nothing_else():
    code = (
        "import json, sys; from apps.agents.measuring import timing_process; import apps.agents.backends.onnx.engine;"
        "print(json.dumps([name for name in ('torch', 'tensorflow', 'django', 'scipy.stats') "
        "if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@dataclass
class Named:
    """An engine that only tells which sessions are made of it, and in which order."""

    name: str
    made: list[str]

    def session(self, target: Target) -> object:
        self.made.append(self.name)
        return lambda feeds: None


def test_every_process_draws_an_order_of_its_own(model: ModelFile, tmp_path: Path):
    orders = set()
    for seed in range(8):
        request = Request(
            original=model, candidate=model, feeds=tmp_path, scratch=tmp_path, target=Target(), effort=QUICK, seed=seed
        )
        made: list[str] = []
        engines = {name: Named(name, made) for name in ("original", "candidate")}
        found = contenders(request, engines, FEEDS)  # type: ignore[arg-type]
        assert set(found) == {"original", "candidate", "control"}
        assert sorted(made) == ["candidate", "original", "original"]
        orders.add(tuple(made))
    assert len(orders) > 1
