"""Weight clustering for models of all frameworks."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.formats import KERAS_FORMATS, Format
from apps.agents.techniques.knowledge.clustering import CLUSTERING
from apps.agents.techniques.spec import Expectation, Family, ParameterSpec, Risk, TechniqueSpec

_CLUSTERS = ParameterSpec(
    name="clusters",
    kind="integer",
    default=16,
    minimum=2,
    maximum=256,
    search=(16, 32),
    help="The most values that the weights of one tensor may have: 16 need at most 4 bits a weight.",
)
_KEPT = ParameterSpec(
    name="keep_float_nodes",
    kind="names",
    default=(),
    help="Names of layers that keep their weights, the most sensitive first.",
    added_later=True,
)


def _clustering(name: str, **more: Any) -> TechniqueSpec:
    return TechniqueSpec(
        name=name,
        family=Family.COMPRESSION,
        label="Weight clustering",
        summary="The weights of each tensor share a few values, found by k-means. Only compressed files become "
        "smaller, and nothing becomes faster.",
        parameters=(_CLUSTERS, _KEPT),
        expectation=Expectation(
            size_ratio=1.0, speedup=1.0, metric_drop_points=0.6, risk=Risk.LOW, compressed_ratio=5.0
        ),
        knowledge=CLUSTERING,
        reference="Han et al. 2016, https://arxiv.org/abs/1510.00149",
        **more,
    )


ONNX_CLUSTERING = _clustering(
    "onnx-clustering",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=("onnx", "onnxruntime"),
    acts_on=("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather", "LSTM", "GRU", "RNN"),
    implementation="apps.agents.backends.onnx.clustering:WeightClustering",
)
TORCH_CLUSTERING = _clustering(
    "torch-clustering",
    formats=(Format.TRANSFORMERS, Format.STATE_DICT, Format.TORCH_EXPORT, Format.TORCHSCRIPT),
    output_format=None,
    requires=("torch", "safetensors"),
    implementation="apps.agents.backends.torch.clustering:WeightClustering",
)
KERAS_CLUSTERING = _clustering(
    "keras-clustering",
    formats=KERAS_FORMATS,
    output_format=Format.KERAS,
    requires=("tensorflow", "keras"),
    acts_on=(
        *("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
        *("Embedding", "LSTM", "GRU", "EinsumDense"),
    ),
    implementation="apps.agents.backends.tensorflow.clustering:WeightClustering",
)
