"""Graph optimization: the same function in fewer operators. Every quantization starts from it.

Only transformations that hold on every machine are written into the file (constant folding, fusion of neighbours such
as batch norm into convolution). Layouts for a particular processor are left to the runtime when it loads the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.normalization import settle
from apps.agents.backends.onnx.runtime import reason_of
from apps.agents.backends.onnx.saving import save_artifact
from apps.agents.backends.onnx.split_model import fold
from apps.agents.backends.onnx.tensor_types import with_types
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques import library_calls
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent

SAME_DB = 80.0
"""Folding reorders float32 arithmetic, whose rounding stays far below this."""
_TRANSFORMER_MODELS = ("bert", "gpt2")
"""Sets of patterns to try; the one that fuses most is used."""
_LARGEST_INTEGER = 2**31 - 1


class GraphOptimization(BaseOptimizationAgent):
    """Folds constants, fuses operators and, if requested, transformer blocks. The outputs stay the same."""

    lowest_sqnr_db = SAME_DB

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model = files.open_model(assignment.model, assignment.scratch)
        prepared = prepare(model, assignment.scratch, context)
        proto = files.load_proto(prepared)
        if assignment.parameters["transformer_fusions"]:
            context.progress(0.5, "looking for transformer blocks")
            proto = _fuse_transformer(proto, prepared, assignment.spec.label)
        return Applied(save_artifact(proto, assignment.out))

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Describe the gain: fewer operators, or a smaller file."""
        old, new = sum(before.operators.values()), sum(after.operators.values())
        if before.operators == after.operators and after.size_bytes >= before.size_bytes:
            raise TechniqueNoEffect(
                technique=assignment.spec.label, reason=f"its {old} operators cannot be simplified further"
            )
        return (
            f"It has {new} operators instead of {old}, and {after.size_bytes:,} bytes instead of {before.size_bytes:,}."
        )


def prepare(model: Path, folder: Path, context: Context) -> Path:
    """`model` (opened) with constants folded, neighbours fused and shapes inferred, written to `folder`.

    Nodes have unique names, which the analysis also uses for its layers. Raises `ModelNotLoadable`.
    """
    target = fold(model, folder / "prepared.onnx")
    proto = files.load_proto(target, weights=False)
    with chdir(folder):  # If inference fails, the tool leaves a copy in the working folder.
        shaped = _with_shapes(proto, context)
    onnx.save(shaped, str(target))
    return target


def prepare_to_quantize(model: Path, rewritten: Path, folder: Path, context: Context) -> Path:
    """Like `prepare`, in the form that quantization needs (`apps.agents.backends.onnx.normalization`).

    `rewritten` is the normalized `model`. If the runtime does not load it, `model` is prepared instead. Types that no
    library infers come from the runtime.
    """
    try:
        prepared = prepare(rewritten, folder, context)
    except ModelNotLoadable as error:
        context.log(f"The graph could not be normalized ({error.context['reason']}); it is used unchanged.", "warning")
        prepared = prepare(model, folder, context)
    proto = files.load_proto(prepared, weights=False)
    settle(proto, prepared.parent)
    onnx.save(with_types(proto, prepared), str(prepared))
    return prepared


@contextmanager
def library_words(label: str) -> Iterator[None]:
    """Turn a library's exceptions about a model into `TechniqueLibraryFailed`, with the library's own message."""
    with library_calls.library_words(label, lambda error: f"{type(error).__name__}: {reason_of(error)}"):
        yield


def _with_shapes(proto: ModelProto, context: Context) -> ModelProto:
    """Add shapes of intermediate tensors, for libraries that decide by them. Unknown shapes are not an error."""
    try:
        with _torch_hidden():
            from onnxruntime.tools.symbolic_shape_infer import (
                SymbolicShapeInference,
            )  # Needs sympy, which may be missing.
        inferred: ModelProto | None = SymbolicShapeInference.infer_shapes(proto, _LARGEST_INTEGER, auto_merge=True)
    except Exception as error:  # The tool may raise anything, and nothing depends on its success.
        context.log(
            f"Shapes could not be inferred symbolically ({reason_of(error)}); continuing without them.", "warning"
        )
        return proto
    return inferred or proto


@contextmanager
def _torch_hidden() -> Iterator[None]:
    """Hide PyTorch from `onnxruntime.tools`, which would import it only for exports and take longer than the job."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # Makes `import torch` fail.
    try:
        yield
    finally:
        del sys.modules["torch"]


def _fuse_transformer(proto: ModelProto, prepared: Path, label: str) -> ModelProto:
    """Replace attention, GELU and normalization blocks by the runtime's own operators, with its transformer optimizer.

    The file then needs ONNX Runtime. Raises `TechniqueNoEffect` if it finds no such block.
    """
    from onnxruntime.transformers.optimizer import optimize_model  # Loads slowly, and few models need it.

    with library_words(label):
        tried = [optimize_model(str(prepared), model_type=kind, opt_level=0).model for kind in _TRANSFORMER_MODELS]
    fused: ModelProto = min(tried, key=lambda model: len(model.graph.node))
    if len(fused.graph.node) >= len(proto.graph.node):
        reason = f"none of its {len(proto.graph.node)} operators form a transformer block that can be fused"
        raise TechniqueNoEffect(technique=label, reason=reason)
    return fused
