"""Looks inside a PyTorch model (`analysis.engine.AnalysisEngine`): modules, their times, their tolerance of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from apps.agents.analysis.engine import LayerTime, Sensitivity, Tell
from apps.agents.backends.torch import cost, profile
from apps.agents.backends.torch.anatomy import Anatomy, dissect
from apps.agents.backends.torch.engine import TorchEngine
from apps.agents.backends.torch.generation import measure_generation
from apps.agents.backends.torch.loading import load_opened
from apps.agents.backends.torch.sensitivity import measure_sensitivity
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.reports.analysis import Generation, Layer
from apps.agents.measuring.engine import Feeds, Run


class TorchAnalysisEngine(TorchEngine):
    """Works on one copy of the model, loaded on first use."""

    def __init__(self, model: Path, scratch: Path) -> None:
        super().__init__(model, scratch)
        self._notes: list[str] = []

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        """The modules that compute something; for a TorchScript program, as far as their weights show."""
        try:
            return cost.layers(self._anatomy, batches, examples)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300].rstrip(". ")
            self._notes.append(
                f"The model's operators could not be observed, so multiply-accumulates are unknown: {reason}."
            )
            return cost.layers(self._anatomy, ())

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        if not self._anatomy.hookable:
            self._notes.append("Its parts cannot be timed one by one in this format, so times by layer are unknown.")
            return {}
        return profile.times(self._anatomy, feeds, target)

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        try:
            return measure_sensitivity(self._anatomy, batches, order, budget_s=budget_s, tell=tell)
        except ModelRunFailed as error:
            return Sensitivity(notes=[f"Quantization sensitivity is not measured: {error.context['reason']}."])

    def generation(self, feeds: Feeds, target: Target) -> Generation | None:
        return measure_generation(self._anatomy.model, feeds, target)

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """Empty: compiling is not measured, because the export shows what it gains."""
        return ()

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Whether a technique finds something to change shows when it is applied."""
        return {}

    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    @cached_property
    def _anatomy(self) -> Anatomy:
        return dissect(load_opened(self._opened), self._opened.path)
