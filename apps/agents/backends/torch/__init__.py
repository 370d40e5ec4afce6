"""PyTorch and transformers, in the child process.

No hub is asked for anything: what a model needs comes with it. The libraries read these switches when they are
imported, and whatever imports them here imports this package first. PyTorch unpickles nothing but weights, also where
its own functions would (`torch.export.load` for one).
"""

import os

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "CRITICAL")
