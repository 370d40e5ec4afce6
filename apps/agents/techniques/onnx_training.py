"""Training ONNX models further."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.techniques.knowledge.onnx_training import RECOVERY
from apps.agents.techniques.spec import Expectation, Family, Risk, TechniqueSpec
from apps.agents.techniques.training.parameters import KEEP_ZEROS, PRECISION, RECOVERY_PARAMETERS, THREADS

_RATE = 0.0003
"""A pruned model whose layers were fitted again starts well. Larger steps would first lose what fitting gained."""
_PARAMETERS = tuple(
    one.model_copy(update={"default": _RATE}) if one.name == "learning_rate" else one for one in RECOVERY_PARAMETERS
)
ONNX_RECOVERY = TechniqueSpec(
    name="onnx-recover",
    family=Family.TRAINING,
    label="Recovery training",
    summary="Trains the graph's weights in PyTorch to recover what a change has cost, with labels and the original's "
    "outputs, on examples of neither the validation nor the test part.",
    formats=(Format.ONNX,),
    output_format=Format.ONNX,
    requires=("torch", "onnx", "onnxruntime"),
    inputs=("teacher",),
    needs_training=True,
    takes_strings=False,
    parameters=(*_PARAMETERS, PRECISION, THREADS, KEEP_ZEROS),
    expectation=Expectation(size_ratio=1.0, speedup=1.0, metric_drop_points=0.0, risk=Risk.LOW),
    knowledge=RECOVERY,
    reference="Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Loshchilov and Hutter 2017, "
    "https://arxiv.org/abs/1608.03983",
    implementation="apps.agents.backends.torch.onnx_recovery:OnnxRecoveryTraining",
)
