"""What a folder's configuration says of its quantization, in words, and how its packed weights are counted."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.backends.torch import quantized
from apps.agents.backends.torch.stored import StoredTensor, counted

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
GROUP = {"weights": {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}}


@pytest.mark.parametrize(
    ("quantization", "words"),
    [
        (None, None),
        (NF4, "bitsandbytes nf4"),
        ({**NF4, "bnb_4bit_use_double_quant": True}, "bitsandbytes nf4, double quantization"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes LLM.int8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, "awq 4 bit, groups of 32"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq 4 bit, groups of 128"),
    ],
    ids=["none", "nf4", "double", "int8", "awq", "gptq"],
)
def test_a_quantization_is_told_in_words(quantization: dict[str, Any] | None, words: str | None) -> None:
    assert quantized.describe({"quantization_config": quantization}) == words


def test_compressed_tensors_say_their_bits_and_groups() -> None:
    said = quantized.describe(
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}}}
    )
    assert said is not None
    assert all(word in said for word in ("compressed-tensors", "4 bit", "groups of 32"))


@pytest.mark.parametrize(
    ("quantization", "stored"),
    [
        (
            NF4,
            {
                "a.weight": ("uint8", (512, 1)),
                "a.weight.absmax": ("float32", (16,)),
                "a.weight.quant_map": ("float32", (16,)),
            },
        ),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 32},
            {"a.qweight": ("int32", (32, 4)), "a.qzeros": ("int32", (1, 4)), "a.scales": ("float16", (1, 32))},
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}},
            {
                "a.weight_packed": ("int32", (32, 4)),
                "a.weight_scale": ("float32", (32, 1)),
                "a.weight_shape": ("int64", (2,)),
            },
        ),
    ],
    ids=["bitsandbytes", "awq", "compressed-tensors"],
)
def test_packed_weights_count_as_the_numbers_they_hold(
    quantization: dict[str, Any], stored: dict[str, tuple[str, tuple[int, ...]]]
) -> None:
    weights = {name: StoredTensor(dtype, shape) for name, (dtype, shape) in stored.items()}
    weights["norm.weight"] = StoredTensor("float32", (8,))
    counts = counted(quantized.logical(weights, {"quantization_config": quantization}))
    assert sum(counts.values()) == 1024 + 8
    assert counts["float32"] == 8
    assert set(counts) - {"float32"} <= {"int4", "uint4"}
