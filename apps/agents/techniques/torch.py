"""The techniques for PyTorch models and transformers folders."""

from __future__ import annotations

from apps.agents.contracts.formats import TORCH_FORMATS, Format
from apps.agents.techniques.knowledge.torch import BITSANDBYTES, HALF, SMOOTHQUANT, WEIGHT_ONLY
from apps.agents.techniques.knowledge.torch_groups import AUTOAWQ, AWQ, GPTQ, NEAREST
from apps.agents.techniques.parameters import ALPHA, BITS
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_MODULES_KEPT = ParameterSpec(
    name="keep_float_nodes",
    kind="names",
    default=(),
    help="Names of modules that stay in float, the most sensitive first. The output head always does.",
)
_GROUP_SIZE = ParameterSpec(
    name="group_size",
    kind="choice",
    default=32,
    choices=(16, 32, 64, 128),
    search=(32, 128),
    help="Number of weights in a row that share one scale. It must divide the length of the rows.",
)
_SYMMETRIC = ParameterSpec(
    name="symmetric",
    kind="boolean",
    default=False,
    help="Without zero points: a little smaller, but a little less exact.",
)
_CALIBRATION = ParameterSpec(
    name="calibration_examples",
    kind="integer",
    default=64,
    minimum=1,
    maximum=4096,
    help="Number of rows of the calibration part that the model is run on.",
)
_TRANSFORMERS = (Format.TRANSFORMERS,)
_LLM_COMPRESSOR = ("torch", "transformers", "safetensors", "llmcompressor", "compressed-tensors")

TORCH_TECHNIQUES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        name="onnx-export",
        family=Family.EXPORT,
        label="Export to ONNX",
        summary="The same network for ONNX Runtime, with free batch and sequence axes. Its outputs are compared with "
        "the original's before anything else runs. Every ONNX technique starts from it.",
        formats=TORCH_FORMATS,
        output_format=Format.ONNX,
        requires=("torch", "onnx", "onnxscript", "onnxruntime"),
        parameters=(
            ParameterSpec(
                name="transformer_fusions",
                kind="boolean",
                default=False,
                help="Fuse attention, GELU and normalization blocks into operators that only ONNX Runtime has.",
            ),
        ),
        expectation=Expectation(size_ratio=1.0, speedup=1.3, metric_drop_points=0.0, risk=Risk.NONE),
        reference="https://docs.pytorch.org/docs/stable/onnx.html",
        implementation="apps.agents.backends.torch.export:OnnxExport",
    ),
    TechniqueSpec(
        name="torch-half",
        family=Family.QUANTIZATION,
        label="Half precision",
        summary="Weights and computation in bfloat16 or float16: half the size, faster if the hardware computes in "
        "halves.",
        formats=TORCH_FORMATS,
        output_format=None,
        requires=("torch",),
        parameters=(
            ParameterSpec(
                name="dtype",
                kind="choice",
                default="bfloat16",
                choices=("bfloat16", "float16"),
                search=("bfloat16", "float16"),
                help="bfloat16 has the range of float32, float16 has more digits.",
            ),
        ),
        expectation=Expectation(size_ratio=2.0, speedup=0.9, metric_drop_points=0.1, risk=Risk.LOW),
        knowledge=HALF,
        reference="Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740; Kalamkar et al. 2019, "
        "https://arxiv.org/abs/1905.12322",
        implementation="apps.agents.backends.torch.half:HalfPrecision",
    ),
    TechniqueSpec(
        name="torch-weight-only",
        family=Family.QUANTIZATION,
        label="Weight-only int8 (torchao)",
        summary="The weights of linear layers in 8 bits, with a scale for each output channel. Activations stay in "
        "float.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=("torch", "transformers", "torchao"),
        acts_on=("Linear",),
        parameters=(_MODULES_KEPT,),
        expectation=Expectation(size_ratio=2.5, speedup=0.9, metric_drop_points=0.05, risk=Risk.LOW),
        knowledge=WEIGHT_ONLY,
        reference="https://github.com/pytorch/ao",
        implementation="apps.agents.backends.torch.weight_only:WeightOnlyQuantization",
    ),
    TechniqueSpec(
        name="torch-bitsandbytes",
        family=Family.QUANTIZATION,
        label="bitsandbytes",
        summary="Linear layers in 8 bits with outlier columns in float (LLM.int8), or in the 4-bit types NF4 and FP4.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=("torch", "transformers", "bitsandbytes", "accelerate"),
        acts_on=("Linear",),
        parameters=(
            ParameterSpec(
                name="type",
                kind="choice",
                default="nf4",
                choices=("int8", "nf4", "fp4"),
                search=("nf4", "int8", "fp4"),
                help="Number type of the weights: 8 bits, 4-bit normal float, 4-bit float.",
            ),
            ParameterSpec(
                name="double_quantization",
                kind="boolean",
                default=True,
                help="Also quantize the scales of the 4-bit types, which saves 0.4 bits per weight.",
            ),
            _MODULES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.5, speedup=0.6, metric_drop_points=0.5, risk=Risk.LOW),
        knowledge=BITSANDBYTES,
        reference="Dettmers et al. 2022, https://arxiv.org/abs/2208.07339; Dettmers et al. 2023, "
        "https://arxiv.org/abs/2305.14314",
        implementation="apps.agents.backends.torch.bitsandbytes:BitsAndBytes",
    ),
    TechniqueSpec(
        name="torch-autoawq",
        family=Family.QUANTIZATION,
        label="AWQ (autoawq)",
        summary="4-bit weights after the channels that matter most for the activations were scaled up, in autoawq's "
        "own format. autoawq is no longer maintained: the same method from llm-compressor is preferred.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=("torch", "transformers", "autoawq"),
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(
            _GROUP_SIZE,
            ParameterSpec(
                name="zero_point", kind="boolean", default=True, help="One zero point per group: asymmetric rounding."
            ),
            _CALIBRATION,
            _MODULES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.5, speedup=1.0, metric_drop_points=0.3, risk=Risk.LOW),
        knowledge=AUTOAWQ,
        reference="Lin et al. 2024, https://arxiv.org/abs/2306.00978",
        implementation="apps.agents.backends.torch.autoawq:AutoAwq",
    ),
    TechniqueSpec(
        name="torch-awq",
        family=Family.QUANTIZATION,
        label="AWQ (llm-compressor)",
        summary="4-bit weights after the channels that matter most for the activations were scaled up, as "
        "compressed-tensors that vLLM and transformers load.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=_LLM_COMPRESSOR,
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(BITS, _GROUP_SIZE, _SYMMETRIC, _CALIBRATION, _MODULES_KEPT),
        expectation=Expectation(size_ratio=2.5, speedup=1.0, metric_drop_points=0.3, risk=Risk.LOW),
        knowledge=AWQ,
        reference="Lin et al. 2024, https://arxiv.org/abs/2306.00978",
        implementation="apps.agents.backends.torch.compressed:ActivationAware",
    ),
    TechniqueSpec(
        name="torch-gptq",
        family=Family.QUANTIZATION,
        label="GPTQ (llm-compressor)",
        summary="4-bit weights rounded column by column, each compensating for the errors of those before it, as "
        "compressed-tensors that vLLM and transformers load.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=_LLM_COMPRESSOR,
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(BITS, _GROUP_SIZE, _SYMMETRIC, _CALIBRATION, _MODULES_KEPT),
        expectation=Expectation(size_ratio=2.5, speedup=1.0, metric_drop_points=0.2, risk=Risk.LOW),
        knowledge=GPTQ,
        reference="Frantar et al. 2023, https://arxiv.org/abs/2210.17323",
        implementation="apps.agents.backends.torch.compressed:SecondOrder",
    ),
    TechniqueSpec(
        name="torch-round-to-nearest",
        family=Family.QUANTIZATION,
        label="Round to nearest",
        summary="Weights rounded directly, without calibration data. Every cleverer method has to beat it.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=_LLM_COMPRESSOR,
        acts_on=("Linear",),
        parameters=(BITS, _GROUP_SIZE, _SYMMETRIC, _MODULES_KEPT),
        expectation=Expectation(size_ratio=2.5, speedup=1.0, metric_drop_points=0.4, risk=Risk.LOW),
        knowledge=NEAREST,
        reference="Jacob et al. 2018, https://arxiv.org/abs/1712.05877",
        implementation="apps.agents.backends.torch.compressed:RoundToNearest",
    ),
    TechniqueSpec(
        name="torch-smoothquant",
        family=Family.QUANTIZATION,
        label="SmoothQuant W8A8",
        summary="Weights and activations of linear layers in 8 bits after the outliers of the activations were moved "
        "into the weights before them.",
        formats=_TRANSFORMERS,
        output_format=Format.TRANSFORMERS,
        requires=_LLM_COMPRESSOR,
        needs_calibration=True,
        acts_on=("Linear",),
        parameters=(
            ParameterSpec(
                name="smoothing",
                kind="boolean",
                default=True,
                help="Move outliers before rounding. Off: plain W8A8, which smoothing has to beat.",
            ),
            ALPHA,
            _CALIBRATION,
            _MODULES_KEPT,
        ),
        expectation=Expectation(size_ratio=2.0, speedup=1.0, metric_drop_points=0.3, risk=Risk.LOW),
        knowledge=SMOOTHQUANT,
        reference="Xiao et al. 2023, https://arxiv.org/abs/2211.10438",
        implementation="apps.agents.backends.torch.smoothquant:SmoothQuant",
    ),
)
