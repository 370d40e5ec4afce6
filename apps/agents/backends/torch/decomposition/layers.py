"""Convolutions and linear layers of a graph of modules that can be decomposed, and the rows that they multiply."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from apps.agents.techniques.decomposition.layer import MOST_FEATURES, DenseLayer

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_KINDS = (*CONVOLUTIONS, nn.Linear)
_OTHER = (nn.modules.conv._ConvNd, nn.Linear)
Run = Callable[[], object]


@dataclass(frozen=True)
class TorchLayer:
    """A module that can be replaced, and the shape of its input in a run with a few examples."""

    part: nn.Module
    dense: DenseLayer
    given: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.dense.name


@dataclass(frozen=True)
class Layers:
    """The layers that can be replaced, in the order in which they run, and why others cannot."""

    found: tuple[TorchLayer, ...]
    left: Mapping[str, str]


def layers_of(module: nn.Module, run: Run, examples: int) -> Layers:
    """The layers of `module`, which `run` runs with `examples` examples."""
    named = {part: name for name, part in module.named_modules() if isinstance(part, _OTHER)}
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    times: Counter[str] = Counter()

    def seen(part: nn.Module, given: tuple[Any, ...], made: Tensor) -> None:
        times[named[part]] += 1
        shapes[named[part]] = tuple(given[0].shape), tuple(made.shape)

    with hooked(named, seen):
        run()
    weights = Counter(id(part.weight) for part in named)
    parts = {name: part for part, name in named.items()}
    found, left = [], {}
    for name, (given, made) in shapes.items():
        shared = times[name] > 1 or weights[id(parts[name].weight)] > 1
        reason = "its weight is shared with another layer" if shared else _why_left(parts[name])
        if reason is not None:
            left[name] = reason
            continue
        found.append(TorchLayer(parts[name], _dense(name, parts[name], given, made, examples), given))
    return Layers(tuple(found), left)


@contextmanager
def hooked(parts: Mapping[nn.Module, str] | Sequence[nn.Module], seen: Callable[..., None]) -> Iterator[None]:
    """`seen` receives each part with what it was given and what it made, whenever it runs."""
    handles = [part.register_forward_hook(seen) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rows_of(part: nn.Module, given: Tensor, kernel: Sequence[int]) -> NDArray[np.float32]:
    """[examples, places, features]: the patches of a convolution's input, or the rows of a linear layer's."""
    if not isinstance(part, CONVOLUTIONS):
        return np.asarray(given.detach().reshape(len(given), -1, given.shape[-1]), np.float32)
    strides, dilations = list(part.stride), list(part.dilation)
    padded = functional.pad(given, padding_of(part))
    if len(kernel) == 1:  # Patches are cut from pictures.
        padded, strides, dilations = padded[:, :, None], [1, *strides], [1, *dilations]
    lengths = [1, *kernel] if len(kernel) == 1 else list(kernel)
    patches = functional.unfold(padded, lengths, dilation=dilations, stride=strides)
    return np.asarray(patches.detach().transpose(1, 2), np.float32)


def padding_of(part: nn.Module) -> list[int]:
    """As `functional.pad` takes it: the last axis first, before and after."""
    if isinstance(part.padding, str):
        spans = [step * (length - 1) for step, length in zip(part.dilation, part.kernel_size, strict=True)]
        whole = spans if part.padding == "same" else [0] * len(spans)
        return [side for span in reversed(whole) for side in (span // 2, span - span // 2)]
    return [side for length in reversed(part.padding) for side in (length, length)]


def _why_left(part: nn.Module) -> str | None:
    if type(part) not in _KINDS:
        return f"{type(part).__name__} is not decomposed"
    if isinstance(part, CONVOLUTIONS):
        if part.groups != 1:
            return "it is a convolution in groups, which has little to share between channels"
        if part.padding_mode != "zeros":
            return f"it pads its input with {part.padding_mode}"
    features = part.weight[0].numel()
    if features > MOST_FEATURES:
        return f"each of its outputs reads {features:,} numbers, more than {MOST_FEATURES:,}"
    return "it has a single input or output" if min(len(part.weight), features) < 2 else None


def _dense(name: str, part: nn.Module, given: tuple[int, ...], made: tuple[int, ...], examples: int) -> DenseLayer:
    weight = part.weight.detach().double().numpy()
    if isinstance(part, CONVOLUTIONS):
        return DenseLayer(name, weight, given[2:], made[2:])
    return DenseLayer(name, weight, rows=max(1, math.prod(given[:-1]) // max(1, examples)))
