"""The three methods as techniques."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.backends.torch.sparsity import methods
from apps.agents.backends.torch.sparsity.base import Sparsity, Subject, share_of_zeros
from apps.agents.backends.torch.sparsity.calibrating import (
    Batch,
    calibration_batches,
    call_order,
    observe,
    stages,
)
from apps.agents.backends.torch.sparsity.sensitivity import measured_shares
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Assignment

_SENSITIVITY = "sensitivity"


class Magnitude(Sparsity):
    """The smallest weights become zero, whatever they are multiplied by."""

    kernels = True

    def prune(self, subject: Subject, assignment: Assignment, context: Context) -> None:
        across = assignment.parameters["scope"] == "global"
        pattern = next(iter(subject.patterns.values()))
        methods.by_magnitude(subject.layers, pattern, across=across)
        if across and pattern.group is None:  # The share holds for all layers together, not for each.
            shares = {name: share_of_zeros(layer) for name, layer in subject.layers.items()}
            subject.patterns = {name: pattern.with_share(share) for name, share in shares.items()}


class _Calibrated(Sparsity):
    """Prunes stages in the order in which they compute. Each reads what the pruned stages before it give."""

    whole: bool
    """Whether the method needs the inputs' Gram matrices."""
    method: methods.Prune

    def prune(self, subject: Subject, assignment: Assignment, context: Context) -> None:
        batches = calibration_batches(assignment, subject.model)
        order = call_order(subject.model, batches[0], subject.layers)
        if silent := sorted(subject.layers.keys() - set(order)):
            context.log(f"These layers do not run, so they stay dense: {', '.join(silent)}")
            subject.layers = {name: layer for name, layer in subject.layers.items() if name not in silent}
            subject.patterns = {name: pattern for name, pattern in subject.patterns.items() if name not in silent}
        self._allot(subject, assignment, context, batches, order)
        todo = stages(order)
        for done, stage in enumerate(todo):
            context.progress(0.1 + 0.8 * done / len(todo), f"pruning {stage[0]}")
            layers = {name: subject.layers[name] for name in stage}
            seen = observe(subject.model, batches, layers, order, whole=self.whole)
            for name, layer in layers.items():
                weight = type(self).method(methods.matrix(layer), seen[name], subject.patterns[name])
                methods.put(layer, weight)

    def _allot(
        self,
        subject: Subject,
        assignment: Assignment,
        context: Context,
        batches: Sequence[Batch],
        order: Sequence[str],
    ) -> None:
        """Give each layer its own share, if the parameters ask for it and the pattern allows it."""
        pattern = next(iter(subject.patterns.values()))
        if assignment.parameters["allocation"] != _SENSITIVITY or pattern.group is not None:
            return
        context.progress(0.0, "measuring what each layer's sparsity costs")
        shares = measured_shares(subject.model, batches, subject.layers, order, pattern.share)
        subject.patterns = {name: pattern.with_share(share) for name, share in shares.items()}


class Wanda(_Calibrated):
    """In each row, the weights with the smallest product of weight and input size become zero."""

    whole = False
    method = staticmethod(methods.wanda)


class SparseGpt(_Calibrated):
    """The weights that the rest of their row can best compensate for become zero, and the rest is adjusted."""

    whole = True
    method = staticmethod(methods.sparse_gpt)
