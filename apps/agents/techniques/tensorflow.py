"""The techniques for Keras models and SavedModels."""

from __future__ import annotations

from apps.agents.contracts.criteria import Device
from apps.agents.contracts.formats import KERAS_FORMATS, TENSORFLOW_FORMATS, Format
from apps.agents.techniques.knowledge.tensorflow import DEFAULTS_ONLY, FILTERS, DefaultsOnly
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_LAYERS = (
    *("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "Embedding"),
    *("LSTM", "GRU", "EinsumDense"),
)
_EPOCHS = ParameterSpec(
    name="epochs",
    kind="integer",
    default=3,
    minimum=0,
    maximum=100,
    help="Number of passes over the training part of the data set; 0 means no training.",
)
_RATE = ParameterSpec(
    name="learning_rate",
    kind="number",
    default=0.0003,
    minimum=0.000001,
    maximum=0.1,
    help="Step size of Adam.",
)


def _on_layers(
    *,
    name: str,
    family: Family,
    label: str,
    summary: str,
    parameters: tuple[ParameterSpec, ...],
    expectation: Expectation,
    reference: str,
    agent: str,
    needs_calibration: bool = False,
    knowledge: DefaultsOnly = DEFAULTS_ONLY,
) -> TechniqueSpec:
    return TechniqueSpec(
        name=name,
        family=family,
        label=label,
        summary=summary,
        formats=KERAS_FORMATS,
        output_format=Format.KERAS,
        requires=("tensorflow", "keras"),
        needs_calibration=needs_calibration,
        acts_on=_LAYERS,
        parameters=parameters,
        expectation=expectation,
        knowledge=knowledge,
        reference=reference,
        implementation=f"apps.agents.backends.tensorflow.{agent}",
    )


TENSORFLOW_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="litert-export",
        family=Family.EXPORT,
        label="Export to LiteRT",
        summary="The same float network as a TensorFlow Lite model. Its outputs are compared with the original's "
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
        summary="The same float network for ONNX Runtime. Its outputs are compared with the original's before anything "
        "else runs. Every ONNX technique starts from it.",
        formats=(*TENSORFLOW_FORMATS, Format.TFLITE),
        output_format=Format.ONNX,
        requires=("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
        takes_strings=False,
        expectation=Expectation(size_ratio=1.0, speedup=1.5, metric_drop_points=0.0, risk=Risk.NONE),
        reference="https://github.com/onnx/tensorflow-onnx",
        implementation="apps.agents.backends.tensorflow.onnx_export:TensorFlowOnnxExport",
    ),
    _on_layers(
        name="keras-filter-pruning",
        family=Family.PRUNING,
        label="Filter pruning",
        summary="Removes whole channels, the weakest first, from the layers that compute them and from all that read "
        "them. The remaining network is trained again on the data set.",
        needs_calibration=True,
        parameters=(
            ParameterSpec(
                name="share",
                kind="number",
                default=0.3,
                minimum=0.05,
                maximum=0.9,
                search=(0.3, 0.5),
                help="Share of each layer's channels to remove.",
            ),
            _EPOCHS,
            _RATE,
        ),
        expectation=Expectation(size_ratio=1.9, speedup=1.3, metric_drop_points=2.0, risk=Risk.HIGH),
        reference="Li et al. 2017, https://arxiv.org/abs/1608.08710",
        agent="filters:FilterPruning",
        knowledge=FILTERS,
    ),
    _on_layers(
        name="keras-magnitude-pruning",
        family=Family.PRUNING,
        label="Magnitude pruning",
        summary="The smallest weights become zero and stay zero while the others are trained again. Only compressed "
        "files become smaller, and nothing becomes faster.",
        needs_calibration=True,
        parameters=(
            ParameterSpec(
                name="sparsity",
                kind="number",
                default=0.5,
                minimum=0.1,
                maximum=0.95,
                search=(0.5, 0.8),
                help="Share of the kernels' weights that become zero.",
            ),
            ParameterSpec(
                name="scope",
                kind="choice",
                default="layer",
                choices=("layer", "model"),
                help="Whether this share applies to each layer or to the model as a whole.",
            ),
            _EPOCHS,
            _RATE,
        ),
        expectation=Expectation(
            size_ratio=1.0, speedup=1.0, metric_drop_points=0.5, risk=Risk.MEDIUM, compressed_ratio=1.7
        ),
        reference="Han et al. 2015, https://arxiv.org/abs/1506.02626",
        agent="magnitude:MagnitudePruning",
    ),
    TechniqueSpec(
        name="tensorflow-half",
        family=Family.QUANTIZATION,
        label="Half precision (SavedModel)",
        summary="Weights in float16, and convolutions and matrix products, or everything, computed in float16, for "
        "accelerators that support it.",
        formats=(Format.SAVED_MODEL,),
        output_format=Format.SAVED_MODEL,
        requires=("tensorflow",),
        devices=(Device.CUDA,),
        takes_strings=False,
        parameters=(
            ParameterSpec(
                name="mode",
                kind="choice",
                default="mixed",
                choices=("mixed", "float16"),
                search=("mixed", "float16"),
                help="Whether only convolutions and matrix products compute in float16, or everything.",
            ),
        ),
        expectation=Expectation(size_ratio=2.0, speedup=1.5, metric_drop_points=0.1, risk=Risk.LOW),
        knowledge=DEFAULTS_ONLY,
        reference="Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740",
        implementation="apps.agents.backends.tensorflow.half:HalfPrecision",
    ),
)
