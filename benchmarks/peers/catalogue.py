"""The peers, and what each of them is asked: one entry for each documented way of using it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.agents.contracts.formats import KERAS_FORMATS, Format

OWN = ""
"""The environment that this benchmark runs in."""
MAKERS = "benchmarks.peers.makers"


@dataclass(frozen=True)
class Entry:
    """One column of the comparison: a way of making a model smaller and faster."""

    key: str
    label: str
    maker: str
    """A module of `benchmarks.peers.makers`."""
    formats: tuple[Format, ...]
    """Of the originals that it takes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: str = OWN
    """The peer whose environment it needs, in `environments.PINNED`."""

    @property
    def module(self) -> str:
        return f"{MAKERS}.{self.maker}"

    @property
    def is_lathe(self) -> bool:
        return self.key == "lathe"


_ONNX, _FOLDER = (Format.ONNX,), (Format.TRANSFORMERS,)
_U8_S8 = {"types": ["QUInt8", "QInt8"], "per_channel": True, "prepared": True}

ENTRIES = (
    Entry("lathe", "**Lathe**, profile “fastest”", "lathe_session", tuple(Format)),
    Entry("ort-dynamic", "ONNX Runtime, dynamic, defaults", "ort_dynamic", _ONNX),
    Entry("ort-static", "ONNX Runtime, static, defaults", "ort_static", _ONNX),
    Entry("ort-u8s8", "ONNX Runtime, static, u8/s8 per channel", "ort_static", _ONNX, _U8_S8),
    Entry(
        "ort-reduced",
        "ONNX Runtime, static, u8/s8, reduced range",
        "ort_static",
        _ONNX,
        {**_U8_S8, "reduce_range": True},
    ),
    Entry("ort-blocks-8", "ONNX Runtime, MatMul weights, 8 bits", "ort_matmul", _ONNX, {"bits": 8}),
    Entry("ort-blocks-4", "ONNX Runtime, MatMul weights, 4 bits", "ort_matmul", _ONNX, {"bits": 4}),
    Entry("nncf", "NNCF, post-training", "nncf_quantize", _ONNX, environment="nncf"),
    Entry("olive-static", "Olive, static int8", "olive_int8", _ONNX, {"mode": "static"}, environment="olive"),
    Entry("olive-dynamic", "Olive, dynamic int8", "olive_int8", _ONNX, {"mode": "dynamic"}, environment="olive"),
    Entry("litert-float32", "LiteRT converter, float32", "litert_convert", KERAS_FORMATS, {"kind": "float32"}),
    Entry("litert-float16", "LiteRT converter, float16", "litert_convert", KERAS_FORMATS, {"kind": "float16"}),
    Entry("litert-dynamic", "LiteRT converter, dynamic range", "litert_convert", KERAS_FORMATS, {"kind": "dynamic"}),
    Entry("litert-int8", "LiteRT converter, full int8", "litert_convert", KERAS_FORMATS, {"kind": "int8"}),
    Entry("litert-recipe", "litert-quantizer, dynamic int8", "litert_quantizer_recipe", KERAS_FORMATS),
    Entry("torchao-weights", "torchao, int8 weights", "torchao_linear", _FOLDER, {"config": "Int8WeightOnlyConfig"}),
    Entry(
        "torchao-dynamic",
        "torchao, dynamic int8",
        "torchao_linear",
        _FOLDER,
        {"config": "Int8DynamicActivationInt8WeightConfig"},
    ),
)


def entries(keys: tuple[str, ...] = ()) -> tuple[Entry, ...]:
    """Those that are named, or all of them."""
    return tuple(one for one in ENTRIES if not keys or one.key in keys)
