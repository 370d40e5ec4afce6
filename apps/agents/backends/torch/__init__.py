"""PyTorch and transformers, in the child process.

No hub is contacted: everything that a model needs comes with it. The libraries read these switches on import, so every
module that imports them imports this package first. PyTorch unpickles nothing but weights, even in functions of its own
that would unpickle more (such as `torch.export.load`). It looks for devices without initializing CUDA, because a
process that has done so cannot fork (`sandbox.preloaded`).

transformers and the packages it builds on import more libraries than opening a model needs. Those are imported late:
torchao is only needed to pack its own quantizations, SciPy to compare boxes when an object detector is trained, trio
for parallel downloads, and boto3 to start training in a cloud.
"""

import os

from apps.agents.sandbox import late_imports

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "CRITICAL")

_BOXES = ("deformable_detr", "for_object_detection", "grounding_dino", "lw_detr", "rf_detr", "rt_detr")
late_imports.install(
    {
        "accelerate.commands.config.sagemaker": {"boto3": ()},
        "httpcore._backends.trio": {"trio": ()},
        "httpcore._synchronization": {"trio": ()},
        "transformers.quantizers.quantizer_torchao": {
            "torchao.prototype.safetensors.safetensors_support": ("flatten_tensor_state_dict",)
        },
        **{f"transformers.loss.loss_{kind}": {"scipy.optimize": ("linear_sum_assignment",)} for kind in _BOXES},
    }
)
