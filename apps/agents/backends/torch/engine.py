"""PyTorch as the evaluation's engine (`apps.agents.measuring.engine.Engine`)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch

from apps.agents.backends.torch.events import EventStopwatch
from apps.agents.backends.torch.loading import encoder_of, load_opened, summarize
from apps.agents.backends.torch.opening import open_model
from apps.agents.contracts.criteria import Device, Target
from apps.agents.contracts.errors.running import DeviceMissing, ModelRunFailed
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.text import TextEncoder
from apps.agents.measuring import peak_memory
from apps.agents.measuring.engine import Feeds, Outputs, Run
from apps.agents.measuring.operator_times import OperatorTimes
from apps.agents.measuring.stopwatch import Stopwatch


class TorchEngine:
    """A model of any PyTorch format, unpacked once under `scratch`."""

    def __init__(self, model: Path, scratch: Path) -> None:
        self._opened = open_model(model, scratch)

    @cached_property
    def summary(self) -> ModelSummary:
        return summarize(self._opened)

    @cached_property
    def encoder(self) -> TextEncoder | None:
        return encoder_of(self._opened)

    def session(self, target: Target) -> Run:
        """Run a separate copy of the model. Raises `DeviceMissing`, and in use `ModelRunFailed`."""
        device = device_of(target)
        model = load_opened(self._opened, device=device)

        def run(feeds: Feeds) -> Outputs:
            use_threads(target.threads)
            try:
                return model.run(feeds, device)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                raise ModelRunFailed(reason=" ".join(str(error).split())[:400].rstrip(". ")) from error

        return run

    def stopwatch(self, target: Target) -> Stopwatch | None:
        """The device's own clock; `None` on the host, whose clocks are sufficient."""
        return EventStopwatch() if target.device is Device.CUDA else None

    def peak_memory_bytes(self, feeds: Feeds, target: Target) -> int:
        """Peak resident memory, or peak allocation on an accelerator, in a separate process."""
        device_of(target)
        return peak_memory.measure("apps.agents.backends.torch.memory_probe", self._opened.path, feeds, target)

    def profile(self, feeds: Feeds, target: Target, runs: int) -> OperatorTimes | None:
        """By module. The modules of a TorchScript program cannot be timed individually."""
        from apps.agents.backends.torch import anatomy, profile  # They import this module.

        parts = anatomy.dissect(load_opened(self._opened), self._opened.path)
        return profile.operator_times(parts, feeds, target, runs=runs) if parts.hookable else None


def device_of(target: Target) -> str:
    """PyTorch's name of the target's device. Raises `DeviceMissing`."""
    if target.device is Device.CUDA and not torch.cuda.is_available():
        raise DeviceMissing(device=target.device.value, available="cpu")
    return target.device.value


def use_threads(threads: int) -> None:
    """Compute with this many threads from now on. PyTorch has one setting for the whole process."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
