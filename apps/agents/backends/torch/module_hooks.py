"""Observes a module while it runs: which part is running, for how long, and which operators it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from apps.agents.backends.torch.anatomy import Part

Enter = Callable[[str], object]
Leave = Callable[[str], object]
Seen = Callable[[str, Sequence[Any], Any], None]
"""Receives an operator's name without its namespace and overload, its arguments and its result."""


@contextmanager
def hooked(parts: Sequence[tuple[str, torch.nn.Module]], enter: Enter, leave: Leave) -> Iterator[None]:
    """Report when each module, by its name, begins and ends."""
    handles = []
    for name, module in parts:
        handles.append(module.register_forward_pre_hook(_telling(enter, name)))
        handles.append(module.register_forward_hook(_telling(leave, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _telling(tell: Enter | Leave, name: str) -> Callable[..., None]:
    """A hook that returns nothing, because a result would replace the observed value."""

    def hook(*_: Any) -> None:
        tell(name)

    return hook


@contextmanager
def operators_seen(seen: Seen) -> Iterator[None]:
    """Report every operator that runs. Fused operators are split: fused paths of attention are disabled."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), _Watch(seen):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Watch(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """True, because PyTorch would otherwise import its compiler, which takes a second and is not used here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._seen(func.overloadpacket.__name__, args, result)
        return result


def weights_at(parts: Sequence[Part]) -> dict[int, str]:
    """The part that owns each weight, by the address of its storage. Operators on that weight belong to the part."""
    return {
        weight.untyped_storage().data_ptr(): part.name
        for part in reversed(parts)
        for weight in part.module.parameters(recurse=False)
    }
