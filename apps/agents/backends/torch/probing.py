"""A module's outputs for inputs of known shapes, found by calling it on the CPU or on tensors without numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from apps.agents.backends.torch.description import torch_type
from apps.agents.backends.torch.returned import tensors_in
from apps.agents.backends.torch.stored import type_name
from apps.agents.contracts.errors.torch_models import OutputsUnknown
from apps.agents.contracts.reports.model import TensorSpec

FREE_AXES = (8, 64, 224, 1024)
"""Lengths of free axes to try: a model may accept only one of them without declaring it."""
_OTHER_NUMBERS = ""
"""Key of a run at the same lengths with other numbers."""
BATCHES = (2, 1)
"""Batch sizes to try: some programs were traced for one."""

Call = Callable[[Sequence[torch.Tensor]], object]
Lengths = Mapping[str, int]
Tensors = dict[str, torch.Tensor]


def found_outputs(call: Call, inputs: Sequence[TensorSpec], device: str = "cpu") -> tuple[TensorSpec, ...]:
    """The outputs of `call`, by name. An axis that follows a free axis of the inputs has its name.

    An axis whose length depends on the numbers, or on several axes, has no name. Raises `OutputsUnknown` if `call`
    fails at every length, or returns no tensors.
    """
    lengths, given = _first_that_runs(call, inputs, device)
    longer = {axis: _run(call, inputs, {**lengths, axis: _longer(axis, lengths, inputs)}, device) for axis in lengths}
    if device != "meta":
        longer[_OTHER_NUMBERS] = _run(call, inputs, lengths, device, drawn=True)
    found = (
        TensorSpec(
            name=name,
            dtype=type_name(tensor.dtype),
            shape=tuple(_axis(name, index, given, longer, lengths, inputs) for index in range(tensor.ndim)),
        )
        for name, tensor in given.items()
    )
    return tuple(outside(spec) for spec in found)


def calling(module: Any) -> Call:
    """Call `module` with positional inputs, and with floats of its weights' type."""
    types = [weight.dtype for weight in module.parameters() if weight.is_floating_point()]

    def call(tensors: Sequence[torch.Tensor]) -> object:
        cast = [tensor.to(types[0]) if types and tensor.is_floating_point() else tensor for tensor in tensors]
        return module(*cast)

    return call


def outside(spec: TensorSpec) -> TensorSpec:
    """The tensor as seen from outside: half precision stays inside (`TorchModel.run`)."""
    return spec.model_copy(update={"dtype": "float32"}) if spec.dtype in ("float16", "bfloat16") else spec


def example_inputs(
    inputs: Sequence[TensorSpec], lengths: Lengths, device: str = "cpu", *, drawn: bool = False
) -> list[torch.Tensor]:
    """Zeros in the inputs' shapes, or floats `drawn` between -1 and 1; free axes have their `lengths`."""
    shapes = [[lengths[axis] if isinstance(axis, str) else int(axis or 1) for axis in spec.shape] for spec in inputs]
    tensors = [
        torch.zeros(shape, dtype=torch_type(spec.dtype), device=device)
        for spec, shape in zip(inputs, shapes, strict=True)
    ]
    if drawn:
        same = torch.Generator(device="cpu" if device == "meta" else device).manual_seed(0)
        tensors = [
            tensor.uniform_(-1, 1, generator=same) if tensor.is_floating_point() else tensor for tensor in tensors
        ]
    return tensors


def _first_that_runs(call: Call, inputs: Sequence[TensorSpec], device: str) -> tuple[dict[str, int], Tensors]:
    batches = _batch_axes(inputs)
    free = {axis for spec in inputs for axis in spec.shape if isinstance(axis, str)}
    reason = ""
    for length in FREE_AXES if free - batches else FREE_AXES[:1]:
        for examples in BATCHES if batches else BATCHES[:1]:
            lengths = {axis: examples if axis in batches else length for axis in sorted(free)}
            try:
                return lengths, _called(call, example_inputs(inputs, lengths, device))
            except Exception as error:  # The model's own code may raise anything.
                reason = reason or f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    raise OutputsUnknown(reason=reason.rstrip(". "))


def _run(
    call: Call, inputs: Sequence[TensorSpec], lengths: Lengths, device: str, *, drawn: bool = False
) -> Tensors | None:
    try:
        return _called(call, example_inputs(inputs, lengths, device, drawn=drawn))
    except Exception:  # This length is not accepted, so what depends on it stays unknown.
        return None


def _called(call: Call, tensors: Sequence[torch.Tensor]) -> Tensors:
    with torch.no_grad():
        result = call(tensors)
    found = tensors_in(result)
    if not found:
        raise TypeError(f"it returns a {type(result).__name__}, which contains no tensor")
    return found


def _axis(
    name: str,
    index: int,
    given: Tensors,
    longer: Mapping[str, Tensors | None],
    lengths: Lengths,
    inputs: Sequence[TensorSpec],
) -> int | str | None:
    length = given[name].shape[index]
    for axis, others in longer.items():
        other = others.get(name) if others else None
        if other is None or other.ndim <= index or other.shape[index] == length:
            continue
        if axis == _OTHER_NUMBERS:
            return None
        follows = (length, other.shape[index]) == (lengths[axis], _longer(axis, lengths, inputs))
        return axis if follows else None
    return int(length)


def _longer(axis: str, lengths: Lengths, inputs: Sequence[TensorSpec]) -> int:
    return lengths[axis] + 1 if axis in _batch_axes(inputs) else 2 * lengths[axis]


def _batch_axes(inputs: Sequence[TensorSpec]) -> set[str]:
    return {spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], str)}
