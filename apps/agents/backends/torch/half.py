"""Half precision: weights and computation in bfloat16 or float16, inputs and outputs unchanged.

The library's own kernels accumulate in float32, as do its normalization and softmax. bfloat16 has float32's range with
an 8-bit significand. float16 has an 11-bit significand and ends at 65,504: a larger number becomes infinite, and the
result is refused. Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740; Kalamkar et al. 2019,
https://arxiv.org/abs/1905.12322.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import torch

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.saving import save_model
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.agents.contracts.formats import Format
from apps.agents.contracts.number_types import FULL_FLOATS, bytes_of
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.base import Applied, Assignment, Coverage, QuantizationAgent

BITS = 16
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class HalfPrecision(QuantizationAgent):
    """Casts every floating-point weight. Norms and softmax keep the library's behaviour."""

    def coverage(self, assignment: Assignment) -> Coverage:
        summary = assignment.engine().summary
        covered = 0 if summary.quantization else _wide_bytes(summary)
        return Coverage(covered, _wide_bytes(summary), BITS)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        model = load_model(assignment.model, assignment.scratch)
        name = assignment.parameters["dtype"]
        context.progress(0.2, f"casting to {name}")
        dtype: torch.dtype = _DTYPES[name]
        model.module.to(dtype)
        if model.format is Format.TORCH_EXPORT:
            model = replace(model, module=Border(model, dtype))
        context.progress(0.5, "saving")
        try:
            return Applied(save_model(model, assignment.out))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:400].rstrip(". ")
            raise TechniqueLibraryFailed(technique=assignment.spec.label, reason=reason) from error


class Border(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """An exported program that computes in `dtype` but keeps its original input and output types."""

    def __init__(self, model: TorchModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.training = False
        self.program = model.module
        self._model, self._dtype = model, dtype
        self.forward = _signed([spec.name for spec in model.summary.inputs], self._cast)

    def _cast(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        names = (spec.name for spec in self._model.summary.inputs)
        given = {
            name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor
            for name, tensor in zip(names, tensors, strict=True)
        }
        found = zip(self._model.summary.outputs, self._model.call(given), strict=True)
        return {spec.name: tensor.float() if tensor.is_floating_point() else tensor for spec, tensor in found}


def _signed(names: list[str], function: Callable[..., object]) -> Callable[..., object]:
    """`function` with arguments of these names, which the exporter gives to the program's inputs."""

    def called(*values: object) -> object:
        return function(*values)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called


def _wide_bytes(summary: ModelSummary) -> int:
    return sum(bytes_of(count, dtype) for dtype, count in summary.weight_dtypes.items() if dtype in FULL_FLOATS)
