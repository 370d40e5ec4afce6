"""PyTorch and transformers, in the child process.

No hub is asked for anything: what a model needs comes with it. The libraries read these switches when they are
imported, and whatever imports them here imports this package first. PyTorch unpickles nothing but weights, also where
its own functions would (`torch.export.load` for one).

transformers imports torchao and SciPy's optimizers with every model. It gets both late: the one packs what torchao has
quantized, the other compares boxes when an object detector is trained.
"""

import os

from apps.agents.sandbox import late_imports

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "CRITICAL")

_BOXES = ("deformable_detr", "for_object_detection", "grounding_dino", "lw_detr", "rf_detr", "rt_detr")
late_imports.install(
    {
        "transformers.quantizers.quantizer_torchao": {
            "torchao.prototype.safetensors.safetensors_support": ("flatten_tensor_state_dict",)
        },
        **{f"transformers.loss.loss_{kind}": {"scipy.optimize": ("linear_sum_assignment",)} for kind in _BOXES},
    }
)
