"""The number types in which training computes, and how CUDA gives the same numbers every time.

Mixed precision follows Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, with bfloat16: it is used for matrix
products and convolutions, and float32 for everything else. It has float32's range, so losses need no scaling.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_FIXED_WORKSPACES = ":4096:8"
"""Eight buffers of 4 MiB: https://docs.nvidia.com/cuda/cublas/#results-reproducibility."""


def chosen(precision: str, device: str) -> str:
    """`precision`, with `auto` replaced by `bfloat16` if CUDA has units for it, and by `float32` otherwise.

    A CPU's float32 is as fast on small networks, and few CPUs compute in bfloat16.
    """
    if precision != AUTO:
        return precision
    return BFLOAT16 if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT32


def computing(precision: str, device: str) -> AbstractContextManager[Any]:
    """The context of a forward pass in `precision`, as returned by `chosen`. The backward pass follows by itself."""
    if precision == FLOAT32:
        return nullcontext()
    mixed: AbstractContextManager[Any] = torch.autocast(device, torch.bfloat16)
    return mixed


@contextmanager
def reproducible(device: str) -> Iterator[None]:
    """On CUDA: kernels that give the same bits every time, if an operator has one, and float32 without TF32.

    On a CPU it does nothing, because CPU kernels are reproducible anyway. It must be entered before the process's first
    product on CUDA, because cuBLAS reads its setting only once. Operators without such a kernel use the one they have.
    """
    if device != "cuda":
        yield
        return
    os.environ.setdefault(_CUBLAS, _FIXED_WORKSPACES)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with exact, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
