"""The original as a teacher, which runs only once per example if its answers can be kept.

A pruned network is much faster than its original, so from the second pass on the teacher would take nearly all of the
time. Answers are kept if examples are not augmented, and if the loss reads one output of a few numbers per example.
They are part of a checkpoint, so a resumed training sees the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from apps.agents.backends.torch.training.examples import Batch

Asked = Callable[[dict[str, torch.Tensor]], list[torch.Tensor]]
"""The original's outputs for a batch, in the model's order."""
MOST_KEPT_BYTES = 64 * 1024 * 1024


@dataclass
class Teacher:
    ask: Asked
    judged: int
    """The index of the output that the loss reads."""
    examples: int
    """Number of examples in the training part. Answers are kept by place in it."""
    keeps: bool = False
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    """`answers` [examples, …] and `known` [examples]; empty before the first answer."""

    def outputs(self, batch: Batch) -> list[torch.Tensor]:
        """The original's outputs for a batch. Outputs that the loss does not read may be placeholders."""
        if not self.keeps:
            return self._asked(batch)
        places = torch.from_numpy(batch.places)
        if self.kept and bool(self.kept["known"][places].all()):
            return self._placed(self.kept["answers"][places].to(next(iter(batch.tensors.values())).device))
        answers = self._asked(batch)
        self._keep(places, answers[self.judged].detach())
        return answers

    def _asked(self, batch: Batch) -> list[torch.Tensor]:
        with torch.no_grad():
            return self.ask(batch.tensors)

    def _placed(self, answer: torch.Tensor) -> list[torch.Tensor]:
        return [*[answer] * self.judged, answer]

    def _keep(self, places: torch.Tensor, answers: torch.Tensor) -> None:
        if len(answers) != len(places) or answers[0].numel() * 4 * self.examples > MOST_KEPT_BYTES:
            self.keeps = False
            return
        if not self.kept:
            empty = torch.zeros((self.examples, *answers.shape[1:]), dtype=answers.dtype)
            self.kept = {"answers": empty, "known": torch.zeros(self.examples, dtype=torch.bool)}
        self.kept["answers"][places] = answers.cpu()
        self.kept["known"][places] = True
