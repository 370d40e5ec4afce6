"""What training minimizes: the loss on the labels, and the distance to the original's outputs.

Soft labels follow Hinton et al. 2015, https://arxiv.org/abs/1503.02531: both models' logits are divided by a
temperature, and the loss is multiplied by its square, so that its gradients keep their size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from apps.agents.backends.torch.training.token_losses import next_token_loss, token_divergence
from apps.agents.contracts.dataset_spec import TASKS_OF_TEXTS_ALONE
from apps.agents.contracts.reports.dataset import Task

_SUMS_TO_ONE = 1e-3
_TINY = 1e-7


@dataclass(frozen=True)
class Loss:
    """The loss of one batch, from the labels and the outputs of the model in training and of the original."""

    task: Task
    judged: int
    """The index of the output that predictions are read from."""
    distill: float
    temperature: float
    probabilities: bool = False
    """Whether the judged output contains probabilities instead of logits."""

    def __call__(self, given: list[Tensor], wanted: list[Tensor] | None, labels: Tensor | None) -> Tensor:
        """The mean over the batch, a scalar tensor."""
        if labels is None or self.distill >= 1 or not self.reads(given[self.judged], labels):
            assert wanted is not None  # `needs_original` says so.
            return self._distance(given, wanted, labels)
        hard = self._hard(given[self.judged], labels)
        if wanted is None or self.distill <= 0:
            return hard
        return (1 - self.distill) * hard + self.distill * self._distance(given, wanted, labels)

    @property
    def reads_one_answer(self) -> bool:
        """Whether what it reads of the original is one output of the same size for every example."""
        return self.task is not Task.FIDELITY and self.task not in TASKS_OF_TEXTS_ALONE

    def learns_labels(self, output: Tensor, labels: Tensor | None) -> bool:
        """Whether the loss of such a batch uses the labels."""
        return labels is not None and self.distill < 1 and self.reads(output, labels)

    def needs_original(self, output: Tensor, labels: Tensor | None) -> bool:
        """Whether the loss of such a batch needs the original's outputs."""
        return self.distill > 0 or labels is None or not self.reads(output, labels)

    def reads(self, output: Tensor, labels: Tensor) -> bool:
        """Whether the labels are targets for this output."""
        match self.task:
            case Task.CLASSIFICATION:
                return bool(output.is_floating_point() and labels.ndim == 1 and len(output) == len(labels))
            case Task.REGRESSION:
                return bool(output.numel() == labels.numel())
            case Task.EMBEDDING:
                return bool(output.shape == labels.shape)
            case Task.LANGUAGE_MODELING | Task.MULTIPLE_CHOICE:
                return bool(output.ndim == 3 and output.shape[:2] == labels.shape)
            case _:
                return False

    def _hard(self, output: Tensor, labels: Tensor) -> Tensor:
        if self.task in TASKS_OF_TEXTS_ALONE:
            return next_token_loss(output, labels)
        output = output.float()
        if self.task is Task.CLASSIFICATION:
            logits = self._logits(output.reshape(len(labels), -1))
            if logits.shape[1] == 1:
                return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
            return functional.cross_entropy(logits, labels.long())
        if self.task is Task.EMBEDDING:
            return 1 - functional.cosine_similarity(output, labels.float(), dim=-1).mean()
        return functional.mse_loss(output.reshape(labels.shape), labels.float())

    def _distance(self, given: list[Tensor], wanted: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is not None and self.task in TASKS_OF_TEXTS_ALONE and self.reads(wanted[self.judged], labels):
            return token_divergence(given[self.judged], wanted[self.judged], labels, self.temperature)
        match self.task:
            case Task.CLASSIFICATION if _columns(wanted[self.judged]) > 1:
                return self._soft(given[self.judged].float(), wanted[self.judged].float())
            case Task.REGRESSION:
                return functional.mse_loss(given[self.judged].float(), wanted[self.judged].float())
            case Task.EMBEDDING:
                likeness = functional.cosine_similarity(given[self.judged].float(), wanted[self.judged].float(), dim=-1)
                return 1 - likeness.mean()
            case Task.CLASSIFICATION:
                return _all_outputs([given[self.judged]], [wanted[self.judged]])
            case _:
                return _all_outputs(given, wanted)

    def _soft(self, given: Tensor, wanted: Tensor) -> Tensor:
        rows = len(wanted)
        student = functional.log_softmax(self._logits(given.reshape(rows, -1)) / self.temperature, dim=1)
        teacher = functional.log_softmax(self._logits(wanted.reshape(rows, -1)) / self.temperature, dim=1)
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2

    def _logits(self, output: Tensor) -> Tensor:
        """Logits with the same softmax as the probabilities: their logarithms, or the log odds of a single one."""
        if not self.probabilities:
            return output
        safe = output.clamp(_TINY, 1 - _TINY)
        return safe.log() if output.shape[1] > 1 else torch.logit(safe)


def are_probabilities(output: Tensor) -> bool:
    """Whether every row of [N, …] adds up to 1; a row of one number must lie between 0 and 1."""
    rows = output.detach().float().reshape(len(output), -1)
    within = bool(((rows >= 0) & (rows <= 1)).all())
    return within and (rows.shape[1] == 1 or bool(((rows.sum(1) - 1).abs() < _SUMS_TO_ONE).all()))


def _all_outputs(given: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """The sum over all float outputs of the mean squared error as a share of the wanted output's variance."""
    parts = [
        (a.float() - b.float()).square().mean() / (b.float().var(correction=0) + _TINY)
        for a, b in zip(given, wanted, strict=True)
        if b.is_floating_point()
    ]
    return torch.stack(parts).sum()


def _columns(output: Tensor) -> int:
    return output[0].numel() if len(output) else 0
