"""Made-up PyTorch models for sessions in memory, after what was measured of MiniLM and of a small Llama."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.agents.contracts.reports.analysis import Layer
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.reports.model import LanguageModel
from tests.agents.inmemory import AWQ, BITSANDBYTES, GPTQ, HALF, NEAREST, World, minilm

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
TORCH_FACTORS = {(BITSANDBYTES, "", "nf4"): 0.5, (BITSANDBYTES, "", "int8"): 0.5, (HALF, "", ""): 0.8}


def torch_encoder(**changes: Any) -> World:
    """MiniLM as it is shipped: modules of transformers, nearly twice as slow as its export in ONNX Runtime."""
    layers = [
        Layer(name="embeddings.word_embeddings", op_type="Embedding", parameters=11_700_000, weight_bytes=46_800_000)
    ]
    for n in range(6):
        layers += [
            Layer(
                name=f"encoder.layer.{n}.{m}",
                op_type="Linear",
                parameters=295_000,
                weight_bytes=1_180_000,
                time_share=0.9 / 36,
                sqnr_db=22.0 + n,
            )
            for m in range(6)
        ]
        layers.append(Layer(name=f"encoder.layer.{n}.norm", op_type="LayerNorm", parameters=768, weight_bytes=3072))
    exported = minilm()
    world = World(
        layers=tuple(layers),
        size_bytes=91_000_000,
        factors=TORCH_FACTORS,
        sensitivity={"Linear": 13.0},
        latency_ms=2 * exported.latency_ms,
        drop_margin=0.3,
        format="transformers",
        language=LanguageModel(architecture="BertModel", generative=False, context_length=512, tokenizer=True),
        exported=exported,
    )
    return replace(world, **changes)


def torch_language_model(**changes: Any) -> World:
    """A small Llama whose tied token table is more than half of it; perplexity is judged."""
    layers = [
        Layer(
            name="model.embed_tokens", op_type="Embedding", parameters=9_216_000, weight_bytes=36_864_000, sqnr_db=40.0
        )
    ]
    for n in range(6):
        for place, names in (("self_attn", ATTENTION), ("mlp", FEED_FORWARD)):
            layers += [
                Layer(
                    name=f"model.layers.{n}.{place}.{name}",
                    op_type="Linear",
                    parameters=140_000,
                    weight_bytes=560_000,
                    macs=140_000,
                    time_share=0.8 / 42,
                    sqnr_db=24.0 + n,
                )
                for name in names
            ]
        layers.append(Layer(name=f"model.layers.{n}.norm", op_type="LlamaRMSNorm", parameters=288, weight_bytes=1152))
    layers.append(
        Layer(name="lm_head", op_type="Linear", parameters=9_216_000, weight_bytes=0, time_share=0.15, sqnr_db=12.0)
    )
    world = World(
        layers=tuple(layers),
        size_bytes=60_500_000,
        factors=TORCH_FACTORS,
        sensitivity={"Linear": 14.0},
        latency_ms=20.0,
        drop_margin=0.02,
        format="transformers",
        language=LanguageModel(
            architecture="LlamaForCausalLM",
            generative=True,
            context_length=256,
            vocabulary=32_000,
            tied_embeddings=True,
            embedding_parameters=9_216_000,
            tokenizer=True,
        ),
        losses={(NEAREST, "4"): 0.1, (AWQ, "4"): 0.08, (GPTQ, "4"): 0.05, (BITSANDBYTES, "nf4"): 0.12},
        task=Task.LANGUAGE_MODELING,
    )
    return replace(world, **changes)
