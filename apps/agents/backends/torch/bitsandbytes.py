"""bitsandbytes: linear layers in 8 bits (LLM.int8) or in 4-bit floats (NF4, FP4), on a CPU and on CUDA.

LLM.int8 multiplies in int8 with a scale for each row of weights and activations, and columns with outliers in float
(Dettmers et al. 2022, https://arxiv.org/abs/2208.07339). NF4 places its 16 values at the quantiles of a normal
distribution, for blocks of 64 weights (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314).
"""

from __future__ import annotations

import logging
import tempfile
from copy import copy
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import FolderQuantization, kept_names, left_out, library_at_work
from apps.agents.backends.torch.saving import pack_folder
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.context import Context
from apps.agents.techniques.base import Applied, Assignment

_BLOCK, _SCALES_IN_A_BLOCK = 64, 256
_CPU_ROWS = 32
"""Rows that the kernel for processors with AVX-512 BF16 processes at once."""
_FLOAT_BYTES = 4
_TABLE_BYTES = 16 * _FLOAT_BYTES
"""Each layer stores the 16 values of its 4-bit type."""
_SCALE_TABLE_BYTES = 256 * _FLOAT_BYTES
"""Each layer also stores the 256 possible values of quantized scales."""

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # It logs at every product that it uses float16.


class BitsAndBytes(FolderQuantization):
    """Linear layers in bitsandbytes' format. transformers loads the result without calibration."""

    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        weights = rows * columns
        if assignment.parameters["type"] == "int8":
            return weights + rows * _FLOAT_BYTES
        blocks = -(-weights // _BLOCK)
        if not assignment.parameters["double_quantization"]:
            return weights // 2 + blocks * _FLOAT_BYTES + _TABLE_BYTES
        groups = -(-blocks // _SCALES_IN_A_BLOCK)
        return weights // 2 + blocks + groups * _FLOAT_BYTES + _TABLE_BYTES + _SCALE_TABLE_BYTES

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with (
            tempfile.TemporaryDirectory(dir=assignment.scratch, prefix="bitsandbytes-") as kept,
            library_at_work(assignment.spec.label, assignment.seed),
        ):
            context.progress(0.1, f"rounding on {device}")
            model = self.folder.model_class.from_pretrained(
                str(self.folder.path),
                quantization_config=self._config(assignment),
                device_map={"": device},
                local_files_only=True,
                weights_only=True,
            )
            context.progress(0.8, "writing")
            model.save_pretrained(kept)
            return Applied(pack_folder(Path(kept), self.folder.path, assignment.out))

    def _config(self, assignment: Assignment) -> BitsAndBytesConfig:
        chosen = assignment.parameters
        alone = left_out(self.folder.outline, kept_names(assignment))
        if chosen["type"] == "int8":
            return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=alone)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=chosen["type"],
            bnb_4bit_use_double_quant=chosen["double_quantization"],
            bnb_4bit_compute_dtype=self.folder.config.dtype or torch.float32,
            llm_int8_skip_modules=alone,
        )


def load(folder: TransformersFolder, device: str) -> PreTrainedModel:
    """The model as transformers loads it. On a CPU, layers that the library's kernels there cannot run become floats.

    These are the 4-bit layers whose rows are not a whole number of blocks. Their products fail on a processor with
    AVX-512 BF16, where weights are repacked, and give wrong results on others, where they are unpacked row by row.
    """
    model = folder.load_as_stored(device)
    if device == "cpu":
        for name, module in list(model.named_modules()):
            if isinstance(module, Linear4bit) and _is_broken(module):
                model.set_submodule(name, unpacked(module))
    return model


@torch.no_grad()  # type: ignore[untyped-decorator]
def unpacked(layer: Linear4bit) -> nn.Linear:
    """The same layer with float weights. Blocks continue from row to row, so the weights are read as a single row."""
    state = copy(layer.weight.quant_state)
    shape, state.shape = state.shape, torch.Size([state.shape.numel()])
    weight = dequantize_4bit(layer.weight.data, state).reshape(shape)
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, dtype=weight.dtype)
    plain.weight.copy_(weight)
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    return plain


def _is_broken(layer: Linear4bit) -> bool:
    return bool(layer.in_features % layer.weight.quant_state.blocksize or layer.out_features % _CPU_ROWS)
