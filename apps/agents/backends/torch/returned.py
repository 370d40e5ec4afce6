"""The tensors in a module's result, by name: single, in nested sequences and mappings, or in data classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import torch

ONLY = "output"
"""Name of a tensor that is returned alone."""
_DEEPEST = 4


def tensors_in(result: object) -> dict[str, torch.Tensor]:
    """Every tensor in `result`, in its order, named by key or attribute or by position (`output_1`), joined by `_`.

    Anything else is ignored. Names consist of letters, digits and `_`, and are unique.
    """
    found: dict[str, torch.Tensor] = {}
    for path, tensor in _walk(result, ()):
        name = re.sub(r"\W", "_", "_".join(path)) or ONLY
        if name[0].isdigit():
            name = f"{ONLY}_{name}"
        while name in found:
            name += "_"
        found[name] = tensor
    return found


def has_names(result: object) -> bool:
    """Whether the result itself names its tensors."""
    return not isinstance(result, torch.Tensor) and any(not key.isdigit() for key, _ in _parts(result))


def _walk(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
    elif len(path) < _DEEPEST:
        for key, part in _parts(value, attributes=not path):
            yield from _walk(part, (*path, key))


def _parts(value: object, *, attributes: bool = True) -> Iterator[tuple[str, object]]:
    """By key or position. The `attributes` of any other object count only if it is the result itself."""
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(map(str, value._fields), value, strict=True)
    elif isinstance(value, list | tuple):
        yield from ((str(place), part) for place, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in fields(value))
    elif attributes and not isinstance(value, type | torch.nn.Module) and hasattr(value, "__dict__"):
        yield from vars(value).items()
