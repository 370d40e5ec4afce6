"""What can be done to a Keras model or a SavedModel."""

from __future__ import annotations

from apps.agents.formats import TENSORFLOW_FORMATS, Format
from apps.agents.technique_spec import Expectation, Family, Risk, TechniqueSpec

TENSORFLOW_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="litert-export",
        family=Family.EXPORT,
        label="Export to LiteRT",
        summary="The same float network as a TensorFlow Lite model; its outputs are compared with the original's "
        "before anything else runs. Every technique for LiteRT starts from it.",
        formats=TENSORFLOW_FORMATS,
        output_format=Format.TFLITE,
        requires=("tensorflow", "ai-edge-litert"),
        takes_strings=False,
        expectation=Expectation(size_ratio=1.0, speedup=2.0, metric_drop_points=0.0, risk=Risk.NONE),
        reference="https://ai.google.dev/edge/litert/conversion/tensorflow/overview",
        implementation="apps.agents.backends.tensorflow.litert_export:LiteRtExport",
    ),
    TechniqueSpec(
        name="tensorflow-onnx-export",
        family=Family.EXPORT,
        label="Export to ONNX (tf2onnx)",
        summary="The same float network for ONNX Runtime; its outputs are compared with the original's before anything "
        "else runs. Every ONNX technique starts from it.",
        formats=(*TENSORFLOW_FORMATS, Format.TFLITE),
        output_format=Format.ONNX,
        requires=("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
        takes_strings=False,
        expectation=Expectation(size_ratio=1.0, speedup=1.5, metric_drop_points=0.0, risk=Risk.NONE),
        reference="https://github.com/onnx/tensorflow-onnx",
        implementation="apps.agents.backends.tensorflow.onnx_export:TensorFlowOnnxExport",
    ),
)
