"""The techniques for ONNX models."""

from __future__ import annotations

from apps.agents.techniques.knowledge.onnx import FLOAT16, GRAPH
from apps.agents.techniques.knowledge.onnx_static import SMOOTHQUANT, STATIC
from apps.agents.techniques.knowledge.onnx_weights import BLOCKS, DYNAMIC
from apps.agents.techniques.parameters import ALPHA, BITS, CALIBRATION_EXAMPLES, NODES_KEPT, OPERATORS_KEPT, PER_CHANNEL
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_WEIGHT_TYPE = ParameterSpec(
    name="weight_type",
    kind="choice",
    default="int8",
    choices=("int8", "uint8"),
    search=("int8", "uint8"),
    help="Number type of the weights.",
)
ONNX_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="onnx-graph",
        family=Family.GRAPH,
        label="Graph optimization",
        summary="Infers shapes, folds constants and fuses operators (batch norm into convolution and others) without "
        "changing what the model computes; every quantization starts from its result.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        parameters=(
            ParameterSpec(
                name="transformer_fusions",
                kind="boolean",
                default=False,
                help="Fuse attention, GELU and normalization blocks into operators that only ONNX Runtime has. It "
                "does so itself when it loads a float model, and leaves int8 fewer matrix products to quantize.",
            ),
        ),
        expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.NONE),
        knowledge=GRAPH,
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html",
        implementation="apps.agents.backends.onnx.graph:GraphOptimization",
    ),
    TechniqueSpec(
        name="onnx-static-int8",
        family=Family.QUANTIZATION,
        label="Static int8 (QDQ)",
        summary="Weights and activations in 8 bits with ranges measured on calibration data. Which number types are "
        "fast depends on the machine and the graph, so they are chosen by measuring.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        needs_calibration=True,
        acts_on=("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather"),
        parameters=(
            ParameterSpec(
                name="activation_type",
                kind="choice",
                default="uint8",
                choices=("uint8", "int8", "uint16", "int16"),
                search=("uint8", "int8"),
                help="Number type of the activations.",
            ),
            _WEIGHT_TYPE,
            ParameterSpec(
                name="calibration",
                kind="choice",
                default="minmax",
                choices=("minmax", "entropy", "percentile"),
                search=("minmax", "percentile", "entropy"),
                help="How the range of an activation is chosen from the calibration data.",
            ),
            CALIBRATION_EXAMPLES,
            PER_CHANNEL,
            ParameterSpec(
                name="symmetric_activations",
                kind="boolean",
                default=False,
                help="Centre the range of the activations on zero.",
            ),
            ParameterSpec(
                name="operators",
                kind="names",
                default=(),
                help="Operator types to quantize; empty means every type that the runtime can quantize.",
            ),
            OPERATORS_KEPT,
            NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=3.9, speedup=3.0, metric_drop_points=0.5, risk=Risk.MEDIUM),
        knowledge=STATIC,
        reference="Jacob et al. 2018, https://arxiv.org/abs/1712.05877",
        implementation="apps.agents.backends.onnx.quantization:StaticQuantization",
    ),
    TechniqueSpec(
        name="onnx-dynamic-int8",
        family=Family.QUANTIZATION,
        label="Dynamic int8",
        summary="Weights in 8 bits, activations quantized while running: no calibration data. Good for matrix "
        "products, often slower than float for convolutions.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        acts_on=("Conv", "MatMul", "Gemm", "LSTM", "Attention", "EmbedLayerNormalization", "Gather"),
        parameters=(
            _WEIGHT_TYPE,
            PER_CHANNEL,
            OPERATORS_KEPT,
            NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=3.9, speedup=1.5, metric_drop_points=0.5, risk=Risk.LOW),
        knowledge=DYNAMIC,
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#dynamic-quantization",
        implementation="apps.agents.backends.onnx.quantization:DynamicQuantization",
    ),
    TechniqueSpec(
        name="onnx-weight-only",
        family=Family.QUANTIZATION,
        label="Weight-only int4/int8 blocks",
        summary="The weights of matrix products in blocks of 4 or 8 bits (MatMulNBits); activations stay in float.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        acts_on=("MatMul", "Gemm"),
        parameters=(
            BITS,
            ParameterSpec(
                name="block_size",
                kind="choice",
                default=32,
                choices=(16, 32, 64, 128, 256),
                search=(32, 128),
                help="Number of weights that share one scale.",
            ),
            ParameterSpec(
                name="symmetric",
                kind="boolean",
                default=True,
                help="Without zero points: smaller, a little less exact.",
            ),
            ParameterSpec(
                name="accuracy_level",
                kind="choice",
                default=4,
                choices=(0, 1, 2, 3, 4),
                help="Number type of the computation: 0 unset, 1 float32, 2 float16, 3 bfloat16, 4 int8.",
            ),
            ParameterSpec(
                name="embeddings",
                kind="boolean",
                default=False,
                search=(False, True),
                help="Also quantize the tables of Gather (embeddings). Only with 4 bits.",
            ),
            NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.0, speedup=1.1, metric_drop_points=0.5, risk=Risk.LOW),
        knowledge=BLOCKS,
        reference="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#quantize-to-int4uint4",
        implementation="apps.agents.backends.onnx.weight_only:WeightOnlyQuantization",
    ),
    TechniqueSpec(
        name="onnx-float16",
        family=Family.QUANTIZATION,
        label="Float16",
        summary="Weights and computation in half precision: half the size, faster if the hardware computes in halves, "
        "which CPUs rarely do.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        parameters=(OPERATORS_KEPT, NODES_KEPT),
        expectation=Expectation(size_ratio=2.0, speedup=1.0, metric_drop_points=0.05, risk=Risk.LOW),
        knowledge=FLOAT16,
        reference="Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740",
        implementation="apps.agents.backends.onnx.float16:Float16Conversion",
    ),
    TechniqueSpec(
        name="onnx-smoothquant",
        family=Family.QUANTIZATION,
        label="SmoothQuant W8A8",
        summary="Static int8 of the matrix products after the outliers of the activations were moved from the norms "
        "before them into the weights. Before rounding, the model computes the same.",
        formats=("onnx",),
        output_format="onnx",
        requires=("onnx", "onnxruntime"),
        needs_calibration=True,
        acts_on=("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization", "Pow"),
        parameters=(
            ALPHA,
            ParameterSpec(
                name="activation_type",
                kind="choice",
                default="uint8",
                choices=("uint8", "int8"),
                search=("uint8", "int8"),
                help="Number type of the activations.",
            ),
            _WEIGHT_TYPE,
            CALIBRATION_EXAMPLES,
            PER_CHANNEL,
            NODES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.0, speedup=2.0, metric_drop_points=0.5, risk=Risk.MEDIUM),
        knowledge=SMOOTHQUANT,
        reference="Xiao et al. 2023, https://arxiv.org/abs/2211.10438",
        implementation="apps.agents.backends.onnx.smoothquant:SmoothQuant",
    ),
)
