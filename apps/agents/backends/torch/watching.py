"""Looking at a module while it runs: which part is at work, how long, and which operators it calls."""

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
"""Told an operator's name without its namespace and overload, its arguments and what it gave."""


@contextmanager
def hooked(parts: Sequence[tuple[str, torch.nn.Module]], enter: Enter, leave: Leave) -> Iterator[None]:
    """Tells when each module, by its name, begins and ends."""
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
    """A hook; what one returns would take the place of what it looks at."""

    def hook(*_: Any) -> None:
        tell(name)

    return hook


@contextmanager
def operators_seen(seen: Seen) -> Iterator[None]:
    """Tells of every operator that runs. Blocks of operators are taken apart: fused paths of attention are off."""
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
        """PyTorch would import its compiler, a second's work, to keep it away from what nobody compiles here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._seen(func.overloadpacket.__name__, args, result)
        return result


def weights_at(parts: Sequence[Part]) -> dict[int, str]:
    """The part that owns a weight by the address of its storage: operators on it are that part's."""
    return {
        weight.untyped_storage().data_ptr(): part.name
        for part in reversed(parts)
        for weight in part.module.parameters(recurse=False)
    }
