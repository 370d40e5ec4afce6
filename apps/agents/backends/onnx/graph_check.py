"""Checks a rewritten graph by ONNX's own rules, before it becomes an artifact."""

from __future__ import annotations

from onnx import ModelProto, checker, shape_inference

from apps.agents.backends.onnx.graph import library_words


def check_graph(proto: ModelProto, label: str) -> None:
    """Run ONNX's own checker and shape inference, which raise if shapes contradict each other."""
    standard = all(entry.domain in ("", "ai.onnx") for entry in proto.opset_import if _used(proto, entry.domain))
    if not standard:
        return
    with library_words(label):
        checker.check_model(proto)
        shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)


def _used(proto: ModelProto, domain: str) -> bool:
    return any(node.domain == domain for node in proto.graph.node)
