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
    """The smallest weights go, without a look at what they are multiplied by."""

    kernels = True

    def prune(self, subject: Subject, assignment: Assignment, context: Context) -> None:
        across = assignment.parameters["scope"] == "global"
        pattern = next(iter(subject.patterns.values()))
        methods.by_magnitude(subject.layers, pattern, across=across)
        if across and pattern.group is None:  # No layer has a share of its own to be held to.
            shares = {name: share_of_zeros(layer) for name, layer in subject.layers.items()}
            subject.patterns = {name: pattern.with_share(share) for name, share in shares.items()}


class _Calibrated(Sparsity):
    """Layer by layer, in the order in which they compute, on what the pruned layers before them give."""

    whole: bool
    """Whether the method needs the inputs' Gram matrices."""
    method: methods.Prune

    def prune(self, subject: Subject, assignment: Assignment, context: Context) -> None:
        batches = calibration_batches(assignment, subject.model)
        order = call_order(subject.model, batches[0], subject.layers)
        if silent := sorted(subject.layers.keys() - set(order)):
            context.log(f"These layers do not run, and stay dense: {', '.join(silent)}")
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
        """Give each layer its own share, where the parameters ask for that and the pattern leaves a choice."""
        pattern = next(iter(subject.patterns.values()))
        if assignment.parameters["allocation"] != _SENSITIVITY or pattern.group is not None:
            return
        context.progress(0.0, "measuring what each layer's sparsity costs")
        shares = measured_shares(subject.model, batches, subject.layers, order, pattern.share)
        subject.patterns = {name: pattern.with_share(share) for name, share in shares.items()}


class Wanda(_Calibrated):
    """Weights times the size of their inputs: the smallest products of each row go."""

    whole = False
    method = staticmethod(methods.wanda)


class SparseGpt(_Calibrated):
    """Weights that the rest of their row can best make up for go, and the rest makes up for them."""

    whole = True
    method = staticmethod(methods.sparse_gpt)
