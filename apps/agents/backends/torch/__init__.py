"""PyTorch and transformers, in the child process.

No hub is contacted: everything that a model needs comes with it. The libraries read these switches on import, so every
module that imports them imports this package first. PyTorch unpickles nothing but weights, even in functions of its own
that would unpickle more (such as `torch.export.load`).
"""

import os

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "CRITICAL")
