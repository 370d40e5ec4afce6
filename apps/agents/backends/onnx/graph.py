"""Graph optimization: the same function in fewer operators. Also the ground that every quantization starts from.

Only transformations that hold on every machine are written into the file (constant folding, fusion of neighbours such
as batch norm into convolution); layouts that fit one processor are left to the runtime when it loads the model.
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
from apps.agents.backends.onnx.tensor_types import with_types
from apps.agents.backends.onnx.workbench import fold
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.techniques import TechniqueNoEffect
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques import library_calls
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent

SAME_DB = 80.0
"""Folding reorders float32 arithmetic, whose rounding stays far below this."""
_TRANSFORMER_MODELS = ("bert", "gpt2")
"""Sets of patterns to look for; the one that fuses most is taken."""
_LARGEST_INTEGER = 2**31 - 1


class GraphOptimization(BaseOptimizationAgent):
    """Folds constants, fuses operators and, if asked, blocks of transformers; the numbers stay the same."""

    lowest_sqnr_db = SAME_DB

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model = files.open_model(assignment.model, assignment.scratch)
        prepared = prepare(model, assignment.scratch, context)
        proto = files.load_proto(prepared)
        if assignment.parameters["transformer_fusions"]:
            context.progress(0.5, "looking for blocks of a transformer")
            proto = _fuse_transformer(proto, prepared, assignment.spec.label)
        return Applied(save_artifact(proto, assignment.out))

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Fewer operators, or a smaller file."""
        old, new = sum(before.operators.values()), sum(after.operators.values())
        if before.operators == after.operators and after.size_bytes >= before.size_bytes:
            raise TechniqueNoEffect(
                technique=assignment.spec.label, reason=f"its {old} operators are as simple as they can be already"
            )
        return (
            f"It has {new} operators instead of {old}, and {after.size_bytes:,} bytes instead of {before.size_bytes:,}."
        )


def prepare(model: Path, folder: Path, context: Context) -> Path:
    """`model` (opened) with constants folded, neighbours fused and shapes inferred, written to `folder`.

    Nodes have unique names, the ones that the analysis uses for its layers. Raises `ModelNotLoadable`.
    """
    target = fold(model, folder / "prepared.onnx")
    proto = files.load_proto(target, weights=False)
    with chdir(folder):  # The tool leaves a copy of what it cannot infer in the working folder.
        shaped = _with_shapes(proto, context)
    onnx.save(shaped, str(target))
    return target


def prepare_to_quantize(model: Path, rewritten: Path, folder: Path, context: Context) -> Path:
    """As `prepare`, in the one form that quantization takes (`apps.agents.backends.onnx.normalization`).

    `rewritten` is the normalized `model`; where the runtime does not load it, `model` is prepared as it is. Types that
    no library infers are the runtime's.
    """
    try:
        prepared = prepare(rewritten, folder, context)
    except ModelNotLoadable as error:
        context.log(f"The graph could not be normalized ({error.context['reason']}); it is taken as it is.", "warning")
        prepared = prepare(model, folder, context)
    proto = files.load_proto(prepared, weights=False)
    settle(proto, prepared.parent)
    onnx.save(with_types(proto, prepared), str(prepared))
    return prepared


@contextmanager
def library_words(label: str) -> Iterator[None]:
    """Turns what a library raises about a model into `TechniqueLibraryFailed`, with the library's own words."""
    with library_calls.library_words(label, lambda error: f"{type(error).__name__}: {reason_of(error)}"):
        yield


def _with_shapes(proto: ModelProto, context: Context) -> ModelProto:
    """Shapes of intermediate tensors, for the libraries that decide by them; unknown ones are no error."""
    try:
        with _torch_hidden():
            from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference  # Wants sympy; it may be missing.
        inferred: ModelProto | None = SymbolicShapeInference.infer_shapes(proto, _LARGEST_INTEGER, auto_merge=True)
    except Exception as error:  # The tool raises whatever it stumbles over, and nothing depends on its success.
        context.log(f"Shapes could not be inferred symbolically ({reason_of(error)}); the rest goes on.", "warning")
        return proto
    return inferred or proto


@contextmanager
def _torch_hidden() -> Iterator[None]:
    """Lets `onnxruntime.tools` find no PyTorch: it would import it, for exports alone, and take longer than the job."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # Python's own way to say that there is none.
    try:
        yield
    finally:
        del sys.modules["torch"]


def _fuse_transformer(proto: ModelProto, prepared: Path, label: str) -> ModelProto:
    """Attention, GELU and normalization blocks as the runtime's own operators, by its transformer optimizer.

    The file then needs ONNX Runtime. Raises `TechniqueNoEffect` where no such block is found.
    """
    from onnxruntime.transformers.optimizer import optimize_model  # Loads slowly, and few models want it.

    with library_words(label):
        tried = [optimize_model(str(prepared), model_type=kind, opt_level=0).model for kind in _TRANSFORMER_MODELS]
    fused: ModelProto = min(tried, key=lambda model: len(model.graph.node))
    if len(fused.graph.node) >= len(proto.graph.node):
        reason = f"no block of a transformer that can be fused stands among its {len(proto.graph.node)} operators"
        raise TechniqueNoEffect(technique=label, reason=reason)
    return fused
