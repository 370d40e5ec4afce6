"""Cuts channels out of a module, with all that depends on them, until a share of its multiply-accumulates is gone.

A layer is cut only if a trial succeeded: one block of its channels was cut from a copy, which still ran and gave
outputs of the same shapes. By this rule, output layers and layers whose width is fixed in the program stay whole.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from apps.agents.backends.torch.pruning.importance import importance_of
from apps.agents.backends.torch.pruning.workload import CUT, workload_of
from apps.agents.techniques.reduction import Reduction, Workload

Tensors = tuple[torch.Tensor, ...]
ROUNDS = 8
"""Bisections in the search for the share of channels that leaves the work asked for."""
CLOSE = 0.005
MOST_OF_A_LAYER = 0.95
STEPS_OF_ITERATIVE = 5


@dataclass(frozen=True)
class Manner:
    """How to cut: the criterion, the layers compared, at once or in steps, and what widths are multiples of."""

    importance: str
    scope: str
    schedule: str
    round_to: int


@dataclass(frozen=True)
class Cutter:
    """Cuts copies of `module`, whose inputs are `tensors` with `rows` examples."""

    module: nn.Module
    tensors: Tensors
    rows: int
    manner: Manner
    learn: Callable[[nn.Module], None]
    """Computes the gradients of a module's parameters, for criteria that need them."""
    before: Workload
    """The work of the model before anything was removed; `module` may have smaller kernels already."""

    def to_target(self, macs_removed: float) -> tuple[nn.Module, Reduction]:
        """The copy whose removed share of multiply-accumulates comes closest to `macs_removed`."""
        low, high = 0.0, 1.0
        best: tuple[nn.Module, Reduction] | None = None
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            found = self.cut(middle)
            removed = found[1].macs_removed
            if best is None or abs(removed - macs_removed) < abs(best[1].macs_removed - macs_removed):
                best = found
            if abs(removed - macs_removed) < CLOSE:
                break
            low, high = (middle, high) if removed < macs_removed else (low, middle)
        assert best is not None
        return best

    def cut(self, share: float) -> tuple[nn.Module, Reduction]:
        """A copy without this share of the channels, and its remaining work."""
        made = copy.deepcopy(self.module)
        steps = STEPS_OF_ITERATIVE if self.manner.schedule == "iterative" else 1
        pruner = _InBlocks(
            made,
            self.tensors,
            importance=importance_of(self.manner.importance),
            pruning_ratio=share,
            max_pruning_ratio=MOST_OF_A_LAYER,
            iterative_steps=steps,
            global_pruning=self.manner.scope != "local",
            isomorphic=self.manner.scope == "isomorphic",
            round_to=self.manner.round_to,
            ignored_layers=[part for name, part in made.named_modules() if name in self.fixed],
        )
        for _ in range(steps):
            self.learn(made)
            pruner.step()
        made.zero_grad(set_to_none=True)
        return made, Reduction(self.before, workload_of(made, self.tensors, self.rows))

    @cached_property
    def fixed(self) -> frozenset[str]:
        """Names of the layers that cannot be cut."""
        layers = [name for name, part in self.module.named_modules() if isinstance(part, CUT)]
        known: dict[str, bool] = {}
        for name in layers:
            if name not in known:
                group, bearable = self._tried(name)
                known |= dict.fromkeys({name, *group} if bearable else {name}, bearable)
        return frozenset(name for name, bearable in known.items() if not bearable)

    @property
    def cuttable(self) -> list[str]:
        return [name for name, part in self.module.named_modules() if isinstance(part, CUT) and name not in self.fixed]

    def _tried(self, name: str) -> tuple[set[str], bool]:
        """The layers that lose output channels together with layer `name`, and whether cutting a copy worked."""
        made = copy.deepcopy(self.module)
        layer = made.get_submodule(name)
        graph = tp.DependencyGraph().build_dependency(made, example_inputs=self.tensors)
        names = {part: other for other, part in made.named_modules()}
        width = int(getattr(layer, "out_channels", None) or layer.out_features)
        block = max(1, self.manner.round_to)
        if width <= block:
            return {name}, False
        try:
            group = graph.get_pruning_group(layer, _output_cutter(graph, layer), idxs=list(range(block)))
            together = {
                names[dependency.target.module]
                for dependency, _ in group
                if isinstance(dependency.target.module, CUT) and graph.is_out_channel_pruning_fn(dependency.handler)
            }
            group.prune()
            with torch.no_grad():
                wanted, given = (_shapes(module(*self.tensors)) for module in (self.module, made))
        except (RuntimeError, ValueError, IndexError, AttributeError, KeyError, AssertionError, TypeError):
            return {name}, False
        return together, wanted == given


class _InBlocks(tp.pruner.BasePruner):  # type: ignore[misc]
    """Leaves each layer at least one block of `round_to` channels.

    torch-pruning itself rounds what stays down, and keeps a layer whole where that gives nothing: of 32 channels, a cut
    to 6 in multiples of 8 would leave 32.
    """

    def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
        left = max(round_to, (current_channels - n_pruned) // round_to * round_to)
        return max(0, current_channels - left)


def _output_cutter(graph: Any, layer: nn.Module) -> Any:
    return graph.get_pruner_of_module(layer).prune_out_channels


def _shapes(result: object) -> list[tuple[int, ...]]:
    if isinstance(result, torch.Tensor):
        return [tuple(result.shape)]
    parts = result.values() if isinstance(result, dict) else result if isinstance(result, list | tuple) else ()
    return [shape for part in parts for shape in _shapes(part)]
