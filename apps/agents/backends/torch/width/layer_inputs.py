"""Records what a layer reads, and the sum that includes its output, in runs that end there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Row = Mapping[str, Tensor]
"""A model's inputs for one example, without padding."""
_SAME = 1e-4


class _Seen(Exception):
    """Ends a run: the rest of the model is not needed."""


@dataclass
class Sight:
    """From one run, as [rows, features]: what the layer read, what it gave, and what the next norm read."""

    read: Tensor
    given: Tensor
    summed: Tensor


@dataclass
class Watcher:
    """Watches the linear layer `reader` of `module`.

    In all known transformers, the next norm reads the sum of the layer's output and the residual branch. If a norm does
    not read the output unchanged, the output itself counts as the sum.
    """

    module: nn.Module
    reader: str
    through_norm: bool = True
    _found: dict[str, Tensor] = field(default_factory=dict)

    def see(self, row: Row, *, silenced: bool = False) -> Sight:
        """`silenced` replaces the layer's output by zeros."""
        self._found = {}
        with torch.inference_mode(), self._hooked(silenced), suppress(_Seen):
            self.module(**row)
        given = self._found["given"]
        return Sight(self._found["read"], given, self._found.get("summed", given))

    def settle(self, row: Row) -> None:
        """Find out whether the next norm reads the sum."""
        self.through_norm = True
        whole, without = self.see(row), self.see(row, silenced=True)
        if whole.summed.shape != whole.given.shape:
            self.through_norm = False
            return
        error = (whole.summed - without.summed - whole.given).abs().max()
        self.through_norm = bool(error <= _SAME * max(1e-6, float(whole.given.abs().max())))

    @contextmanager
    def _hooked(self, silenced: bool) -> Iterator[None]:
        layer = self.module.get_submodule(self.reader)
        assert isinstance(layer, nn.Linear)

        def after(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            self._found |= {"read": _rows(given[0]), "given": _rows(output)}
            if not self.through_norm:
                raise _Seen
            return torch.zeros_like(output) if silenced else None

        def before_norm(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            if "given" in self._found:
                self._found["summed"] = _rows(given[0])
                raise _Seen

        handles = [layer.register_forward_hook(after)]
        handles += [norm.register_forward_pre_hook(before_norm) for norm in norms(self.module, layer.out_features)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def norms(module: nn.Module, width: int) -> list[nn.Module]:
    """The norms over this number of features."""
    return [
        part
        for part in module.modules()
        if type(part).__name__.endswith("Norm")
        and isinstance(weight := getattr(part, "weight", None), Tensor)
        and tuple(weight.shape) == (width,)
    ]


def calls(module: nn.Module, names: Sequence[str], row: Row) -> list[str]:
    """The layers `names` in the order in which they run, each as often as it runs."""
    order: list[str] = []

    def tell(name: str) -> Any:
        return lambda *_: order.append(name)

    handles = [module.get_submodule(name).register_forward_pre_hook(tell(name)) for name in names]
    try:
        with torch.inference_mode():
            module(**row)
    finally:
        for handle in handles:
            handle.remove()
    return order


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])
