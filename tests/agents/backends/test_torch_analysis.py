"""A look inside PyTorch models: modules, parameters, multiply-accumulates, times, writing token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from apps.agents.analysis.agent import AnalysisAgent
from apps.agents.backends.torch import cost, profile
from apps.agents.backends.torch.analysis import TorchAnalysisEngine
from apps.agents.backends.torch.anatomy import Anatomy, dissect
from apps.agents.backends.torch.generation import TOKENS, measure_generation
from apps.agents.contracts.criteria import Criteria, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.measuring.engine import open_engine
from tests.agents import torch_models
from tests.agents.torch_models import Convolutional, model_of
from tests.agents.workshop import Workshop

TOKEN_IDS = {"input_ids": np.arange(24).reshape(2, 12), "attention_mask": np.ones((2, 12), np.int64)}
PICTURES = {"x": np.ones((2, 3, 8, 8), np.float32)}


class Attentive(nn.Module):
    """One block as PyTorch's own library builds it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.block(x)


def _layers(anatomy: Anatomy, feeds: dict[str, Any]) -> dict[str, Layer]:
    return {layer.name: layer for layer in cost.layers(anatomy, [feeds])}


def _saved(kind: str, folder: Path) -> tuple[Any, Path]:
    """The same network as a module, an exported program and a TorchScript program."""
    module = Convolutional().eval()
    return torch_models.saved(module, kind, PICTURES, folder)


@pytest.mark.parametrize("kind", ["state-dict", "torch-export", "torchscript"])
def test_parameters_and_products_of_a_network_are_those_counted_by_hand(tmp_path: Path, kind: str):
    found = _layers(dissect(*_saved(kind, tmp_path)), PICTURES)
    assert {name: layer.parameters for name, layer in found.items() if layer.parameters} == {
        "convolution": 8 * 3 * 9 + 8,
        "depthwise": 8 * 9 + 8,
        "norm": 16,
        "transposed": 8 * 4 * 4 + 4,
        "head": 4 * 5 + 5,
    }
    assert {name: layer.macs for name, layer in found.items() if layer.macs} == {
        "convolution": 8 * 8 * 8 * 3 * 9,
        "depthwise": 8 * 8 * 8 * 9,
        "transposed": 8 * 8 * 8 * 4 * 4,
        "head": 4 * 5,
    }
    assert found["norm"].macs is None
    assert found["convolution"].weight_bytes == 4 * (8 * 3 * 9 + 8)
    types = {name: layer.op_type for name, layer in found.items()}
    assert types["convolution"] == types["depthwise"] == "Conv2d"
    assert types["transposed"] == "ConvTranspose2d"
    assert types["head"] == "Linear"


def test_a_convolution_with_a_filter_of_its_own_for_each_channel_is_known(tmp_path: Path):
    found = _layers(dissect(*_saved("state-dict", tmp_path)), PICTURES)
    assert [name for name, layer in found.items() if layer.depthwise] == ["depthwise"]


def test_products_of_attention_count_for_the_module_around_them():
    found = _layers(dissect(model_of(Attentive()), Path()), {"x": np.ones((3, 5, 8), np.float32)})
    tokens, width = 5, 8
    assert found["block.linear1"].macs == found["block.linear2"].macs == tokens * 8 * 16
    products = 2 * tokens * tokens * width
    assert found["block.self_attn"].macs == products + 3 * tokens * width * width + tokens * width * width


def test_a_tied_head_computes_and_counts_no_parameters_again():
    found = _layers(dissect(torch_models.llama(), Path()), TOKEN_IDS)
    table, head = found["model.embed_tokens"], found["lm_head"]
    assert table.parameters == 96 * 32
    assert table.macs is None
    assert (head.parameters, head.weight_bytes, head.macs) == (0, 0, 12 * 32 * 96)
    assert found["model.layers.0.self_attn"].macs == 2 * 12 * 12 * 32
    assert sum(layer.parameters for layer in found.values()) == torch_models.llama().module.num_parameters()


def test_without_examples_the_layers_are_known_and_their_products_are_not():
    layers = cost.layers(dissect(torch_models.llama(), Path()), [])
    assert all(layer.macs is None for layer in layers)
    assert {layer.name for layer in layers} >= {"lm_head", "model.norm"}


def test_every_layer_that_runs_has_a_time_and_together_no_more_than_the_whole():
    anatomy = dissect(torch_models.llama(), Path())
    times = profile.times(anatomy, TOKEN_IDS, Target(threads=1), runs=3)
    assert set(times) >= {part.name for part in anatomy.parts}
    assert all(time.time_ms >= 0 for time in times.values())
    assert 0 < sum(time.share for time in times.values()) <= 1.25  # Medians of parts may add up to more than a median.
    assert not any(module._forward_hooks for module in anatomy.model.module.modules())


def test_a_language_model_writes_after_the_prompt_without_its_padding():
    feeds = {**TOKEN_IDS, "attention_mask": np.array([[1] * 7 + [0] * 5, [1] * 12])}
    found = measure_generation(torch_models.llama(), feeds, Target(threads=1))
    assert found is not None
    assert found.prompt_tokens == 7
    assert found.prefill_ms > 0
    assert found.tokens_per_s == pytest.approx(1000 / found.decode_ms_per_token)


def test_a_prompt_leaves_room_for_what_is_written():
    feeds = {"input_ids": np.arange(64)[None], "attention_mask": np.ones((1, 64), np.int64)}
    found = measure_generation(torch_models.llama(context=32), feeds, Target(threads=1))
    assert found is not None
    assert found.prompt_tokens == 32 - TOKENS
    assert measure_generation(torch_models.llama(context=TOKENS), feeds, Target(threads=1)) is None


def test_a_model_that_does_not_write_has_no_such_times():
    assert measure_generation(model_of(Convolutional()), PICTURES, Target(threads=1)) is None


def test_the_cache_continues_what_a_whole_run_would_say():
    """What is timed is what is claimed: the last token's logits are those of reading all tokens at once."""
    module = LlamaForCausalLM(LlamaConfig(**torch_models.TINY_LLAMA)).eval()
    ids = torch.arange(10)[None]
    with torch.inference_mode():
        state = module(input_ids=ids[:, :-1], use_cache=True)
        step = module(input_ids=ids[:, -1:], past_key_values=state.past_key_values, use_cache=True).logits[:, -1]
        whole = module(input_ids=ids, use_cache=False).logits[:, -1]
    torch.testing.assert_close(step, whole)


@pytest.mark.assets
@pytest.mark.slow
def test_a_real_language_model_is_known_to_its_last_parameter_and_product(tmp_path: Path, stories15m):
    engine = TorchAnalysisEngine(stories15m.archive, tmp_path)
    feeds = {"input_ids": np.arange(100, 132)[None], "attention_mask": np.ones((1, 32), np.int64)}
    layers = {layer.name: layer for layer in engine.layers([feeds])}
    assert sum(layer.parameters for layer in layers.values()) == 15_191_712
    width, wide, tokens = 288, 768, 32
    assert layers["model.layers.3.mlp.up_proj"].macs == tokens * width * wide
    assert layers["model.layers.3.self_attn"].macs == 2 * tokens * tokens * width
    assert layers["lm_head"].macs == tokens * width * 32_000
    written = engine.generation(feeds, Target(threads=1))
    assert written is not None
    assert written.decode_ms_per_token < written.prefill_ms
    assert not engine.notes()


@pytest.mark.slow
def test_a_report_speaks_of_modules_and_of_no_simplified_graph(tmp_path: Path):
    workshop = Workshop(tmp_path, "transformers")
    archive = torch_models.llama_archive(tmp_path)
    assignment = workshop.assignment(
        "torch-half", archive, workshop.examples(**torch_models.tokens()), DatasetSpec(kind="npz", task="fidelity")
    )
    agent = AnalysisAgent(tmp_path, sensitivity_budget_s=60)
    report = agent.analyse(archive, assignment.dataset, Criteria(), workshop.told, format="transformers")
    layers = {layer.name: layer for layer in report.layers}
    assert report.generation is not None
    assert report.peak_memory_bytes > 0
    assert layers["model.layers.0.mlp.up_proj"].sqnr_db is not None
    assert layers["model.layers.0.self_attn"].time_share is not None
    assert {entry.op_type for entry in report.operator_sensitivity} == {"Linear", "Embedding"}
    assert not report.notes


def test_an_engine_profiles_its_modules_where_they_can_be_watched(tmp_path: Path):
    _, path = _saved("torch-export", tmp_path)
    found = open_engine("torch-export", path, tmp_path).profile(PICTURES, Target(), 2)
    assert found is not None
    types = {one.name: one.op_type for one in found}
    assert (types["convolution"], types["head"]) == ("Conv2d", "Linear")
    assert sum(one.time_ms for one in found) > 0


def test_the_parts_of_a_script_are_not_timed(tmp_path: Path):
    _, path = _saved("torchscript", tmp_path)
    assert open_engine("torchscript", path, tmp_path).profile(PICTURES, Target(), 2) is None
