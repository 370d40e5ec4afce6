"""A device whose memory runs out is told from a model that fails, because smaller batches may help the one only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apps.agents.backends.torch import engine
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.steps import StepOutOfMemory
from apps.agents.contracts.faults import Fault
from apps.agents.sandbox.child import failure_of


class Exhausted:
    """A model at the engine's port, whose device gives no more memory."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self, feeds: object, device: str) -> object:
        raise self._error


def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception) -> BaseException:
    monkeypatch.setattr(engine, "open_model", lambda model, scratch: model)
    monkeypatch.setattr(engine, "load_opened", lambda opened, *, device: Exhausted(error))
    run = engine.TorchEngine(tmp_path, tmp_path).session(Target())
    with pytest.raises((ModelRunFailed, torch.OutOfMemoryError)) as caught:
        run({})
    return caught.value


def test_exhausted_memory_is_tried_again_with_smaller_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    failure = failure_of(ran(monkeypatch, tmp_path, told))
    assert (failure.code, failure.transient, failure.fault) == (StepOutOfMemory.code, True, Fault.MEMORY)


def test_a_model_that_fails_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failure = failure_of(ran(monkeypatch, tmp_path, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))
    assert (failure.code, failure.transient) == (ModelRunFailed.code, False)
