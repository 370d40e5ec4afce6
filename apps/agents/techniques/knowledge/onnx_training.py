"""Knowledge about training ONNX graphs in PyTorch: which operators can be rebuilt there."""

from __future__ import annotations

from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.techniques.knowledge.torch_training import Recovery

_NAMES = """
Abs Add And AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos
DepthToSpace Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mish Mul Neg Not Or PRelu Pad Pow
RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape
Resize Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu
Unsqueeze Where
"""
REBUILT = frozenset(_NAMES.split())
"""The operators of `apps.agents.backends.torch.onnx_graph`."""
_NARROW = frozenset({"float16", "bfloat16"})


class OnnxRecovery(Recovery):
    """Of models whose every operator has a counterpart in PyTorch."""

    def why_not(self, model: ModelSummary) -> str | None:
        if unknown := sorted(model.operators.keys() - REBUILT):
            return f"{' and '.join(unknown[:3])} cannot be rebuilt in PyTorch, so the model cannot be trained."
        if narrow := sorted(_NARROW & model.weight_dtypes.keys()):
            return f"Its weights are {' and '.join(narrow)}, too coarse for small steps; start from float32."
        return None


RECOVERY = OnnxRecovery(hands_on_to=("quantization",))
