"""Fuses transformer blocks into operators that only ONNX Runtime has, with the libraries that find them.

A fused result cannot be trusted: for grouped attention a library drops the mask. So the caller compares.
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
    """Patterns of PyTorch's exporter. Raises `NotFused`."""
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort  # Loads slowly, and few models need it.

    try:
        fused, _ = optimize_for_ort(onnx_ir.load(str(model)))
        proto = onnx_ir.to_proto(fused)
    except Exception as error:  # A rule may raise anything.
        raise NotFused(_brief(error)) from error
    return _if_fewer(proto, model)


def by_onnxruntime(model: Path) -> ModelProto:
    """The patterns of several kinds of models; the one that fuses most. Raises `NotFused`."""
    from onnxruntime.transformers.optimizer import optimize_model

    try:
        tried = [optimize_model(str(model), model_type=kind, opt_level=0).model for kind in _KINDS]
    except Exception as error:
        raise NotFused(_brief(error)) from error
    return _if_fewer(min(tried, key=lambda proto: len(proto.graph.node)), model)


FUSIONS: dict[str, Callable[[Path], ModelProto]] = {"onnxscript": by_onnxscript, "onnxruntime": by_onnxruntime}
"""In the order in which they are tried."""


def _if_fewer(fused: ModelProto, plain: Path) -> ModelProto:
    """`fused`, if it contains an operator of ONNX Runtime's own."""
    before = onnx.load(str(plain), load_external_data=False)
    if not any(node.domain == _OWN_DOMAIN for node in fused.graph.node):
        raise NotFused(f"none of its patterns occurs among the {len(before.graph.node)} operators")
    return fused


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
