"""Blocks of transformers as operators that ONNX Runtime alone knows, by the libraries that look for them.

What a library has fused is not to be trusted: for grouped attention it drops the mask. Whoever calls compares.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import ModelProto

_KINDS = ("bert", "gpt2")
"""Sets of patterns of ONNX Runtime's own optimizer."""

_OWN_DOMAIN = "com.microsoft"


class NotFused(Exception):
    """Raised with the reason."""


def by_onnxscript(model: Path) -> ModelProto:
    """Patterns of what PyTorch's exporter writes. Raises `NotFused`."""
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort  # Loads slowly, and few models want it.

    try:
        fused, _ = optimize_for_ort(onnx_ir.load(str(model)))
        proto = onnx_ir.to_proto(fused)
    except Exception as error:  # A rule raises whatever it stumbles over.
        raise NotFused(_brief(error)) from error
    return _if_fewer(proto, model)


def by_onnxruntime(model: Path) -> ModelProto:
    """The patterns of several kinds of models, the most fused. Raises `NotFused`."""
    from onnxruntime.transformers.optimizer import optimize_model

    try:
        tried = [optimize_model(str(model), model_type=kind, opt_level=0).model for kind in _KINDS]
    except Exception as error:
        raise NotFused(_brief(error)) from error
    return _if_fewer(min(tried, key=lambda proto: len(proto.graph.node)), model)


FUSIONS: dict[str, Callable[[Path], ModelProto]] = {"onnxscript": by_onnxscript, "onnxruntime": by_onnxruntime}
"""In the order in which they are tried."""


def _if_fewer(fused: ModelProto, plain: Path) -> ModelProto:
    """`fused`, where an operator of ONNX Runtime's own stands in it."""
    before = onnx.load(str(plain), load_external_data=False)
    if not any(node.domain == _OWN_DOMAIN for node in fused.graph.node):
        raise NotFused(f"none of its patterns stands among the {len(before.graph.node)} operators")
    return fused


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
