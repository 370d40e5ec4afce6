"""Narrower students of transformers: which axes belong together, what the student keeps, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MPNetConfig,
    MPNetForSequenceClassification,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from apps.agents.backends.torch.distillation.channels import CHANNELS, FEATURES, HEADS, axes_of
from apps.agents.backends.torch.distillation.importance import most_important
from apps.agents.backends.torch.distillation.projections import projections_for
from apps.agents.backends.torch.distillation.slimming import slimmed
from apps.agents.backends.torch.distillation.widths import narrower, numbers, widths_of
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.width.expressing import Inexpressible
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.distillation import StudentNotBuilt
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Optimized
from tests.agents import language_models, torch_models
from tests.agents.workshop import Workshop
from tests.assets import models

UNLABELLED = DatasetSpec(kind="npz", task="fidelity", training_share=0.5)
LESSON: dict[str, Any] = {"steps": 30, "batch_size": 16, "learning_rate": 0.005, "calibration_examples": 8}
TINY: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
IN_GROUPS = {**TINY, "num_key_value_heads": 2}
BUILT: dict[str, tuple[type[PreTrainedModel], Any]] = {
    "Bert": (BertForSequenceClassification, BertConfig(**TINY)),
    "Roberta": (RobertaForSequenceClassification, RobertaConfig(**TINY | {"max_position_embeddings": 66})),
    "MPNet": (MPNetForSequenceClassification, MPNetConfig(**TINY)),
    "DistilBert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(vocab_size=96, dim=32, hidden_dim=48, n_layers=2, n_heads=4),
    ),
    "Llama": (LlamaForCausalLM, LlamaConfig(**IN_GROUPS, tie_word_embeddings=True)),
    "Qwen2": (Qwen2ForCausalLM, Qwen2Config(**IN_GROUPS)),
    "Qwen3": (Qwen3ForCausalLM, Qwen3Config(**IN_GROUPS, head_dim=16)),
}


def built(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    kind, config = BUILT[family]
    model = kind(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))  # Fresh norms and biases are the same in every channel.
    return model


def rows() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(3, 96, (2, 1, 10), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids]


@pytest.mark.parametrize("family", BUILT)
def test_channels_heads_and_features_are_told_apart(family: str) -> None:
    model = built(family)
    widths = widths_of(model.config)
    less = narrower(widths, 0.5)
    assert (less.hidden, less.groups * 2, [*less.features.values()]) == (16, widths.groups, [24])
    found = {(axis.tensor, axis.place): axis for axis in axes_of(model, widths, less, rows())}
    readers = [name for name in found if name[1] == 1 and found[name].kind == HEADS and "bias" not in name[0]]
    assert len(readers) == 2  # Of both layers.
    assert all(found[name, 0].kind == CHANNELS for name, _ in readers)
    assert {axis.kind for axis in found.values()} == {CHANNELS, HEADS, FEATURES}
    assert {axis.size for axis in found.values() if axis.kind != HEADS} == {1}


def test_the_units_that_stay_are_those_that_compute_most() -> None:
    model = built("Llama")
    layer = model.model.layers[1]
    with torch.no_grad():
        layer.mlp.down_proj.weight[:, [3, 7]] *= 50
        layer.self_attn.o_proj.weight[:, :16] = 0  # The first of two groups.
        for part in model.modules():
            if type(part).__name__.endswith("Norm"):
                part.weight[[1, 9]] = 40.0
    widths = widths_of(model.config)
    axes = axes_of(model, widths, narrower(widths, 0.5), rows())
    kept = most_important(model, axes, 32, {CHANNELS: 2, HEADS: 1, FEATURES: 2}, rows())
    assert kept(CHANNELS, "model.norm.weight").tolist() == [1, 9]
    assert kept(FEATURES, "model.layers.1.mlp.up_proj.weight").tolist() == [3, 7]
    assert kept(HEADS, "model.layers.1.self_attn.q_proj.weight").tolist() == [1]


def test_widths_that_a_configuration_cannot_state_are_refused_by_name() -> None:
    with pytest.raises(Inexpressible, match="all of them"):
        narrower(widths_of(BUILT["Bert"][1]), 0.95)
    assert "num_key_value_heads" not in numbers(BUILT["Bert"][1], widths_of(BUILT["Bert"][1]))
    with pytest.raises(Inexpressible, match="does not state one width"):
        widths_of(GPT2LMHeadModel(GPT2Config(vocab_size=96, n_embd=32, n_layer=1, n_head=4, n_positions=64)).config)


# --- the technique --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("slim"), "transformers")


@pytest.fixture(scope="module")
def teacher(shop: Workshop) -> Path:
    return torch_models.bert(shop.root / "teacher", settings={"num_hidden_layers": 4, "initializer_range": 0.2})


@pytest.fixture(scope="module")
def examples(shop: Workshop) -> Path:
    return shop.examples(**torch_models.tokens(120))


@pytest.fixture(scope="module")
def made(shop: Workshop, teacher: Path, examples: Path) -> Optimized:
    return shop.apply("torch-distill-width", teacher, examples, UNLABELLED, **LESSON, student_layers=0.5)


def test_it_is_a_narrower_folder_with_fewer_layers_and_the_same_interface(
    shop: Workshop, teacher: Path, made: Optimized
) -> None:
    before, after = (open_engine("transformers", path, shop.root).summary for path in (teacher, made.artifact))
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    assert after.parameters < 0.3 * before.parameters
    config = load_model(made.artifact, shop.root).module.config
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (16, 2, 2)


def test_it_learns_outputs_and_states_and_tells_its_widths(made: Optimized) -> None:
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.9 * evidence["held_out_loss_before"]
    told = {name: evidence[name] for name in ("hidden_size", "heads", "features", "layers_before", "layers")}
    assert told == {"hidden_size": [32, 16], "heads": [4, 2], "features": [48, 24], "layers_before": 4, "layers": 2}


def test_the_same_seed_gives_the_same_file(shop: Workshop, teacher: Path, examples: Path, made: Optimized) -> None:
    again = shop.apply("torch-distill-width", teacher, examples, UNLABELLED, **LESSON, student_layers=0.5)
    assert again.artifact.read_bytes() == made.artifact.read_bytes()


def test_a_language_model_learns_tokens(shop: Workshop) -> None:
    original, texts = language_models.llama(shop.root), language_models.texts(shop.root / "texts.jsonl")
    recipe = {**LESSON, "distill": 0.0, "learning_rate": 0.01}
    made = shop.apply("torch-distill-width", original, texts, language_models.PERPLEXITY, **recipe).result.evidence
    assert made["held_out_loss_after"] < 0.8 * made["held_out_loss_before"]


def test_a_projection_begins_with_the_channels_that_the_student_kept() -> None:
    narrow, wide = torch.randn(2, 3, 2), torch.randn(2, 3, 4)
    (projected,) = projections_for([narrow], [wide], [-1], "Distillation", (1, 3))([narrow])
    assert torch.equal(projected[..., [1, 3]], narrow)
    assert not projected[..., [0, 2]].any()


def test_a_model_whose_output_is_its_channels_is_refused(shop: Workshop) -> None:
    torch.manual_seed(0)
    bert = torch_models.bert(shop.root / "headless")
    model = load_model(bert, shop.root)
    summary = model.summary.model_copy(
        update={"outputs": (model.summary.outputs[0].model_copy(update={"shape": ("batch", "sequence", 32)}),)}
    )
    model.summary = summary
    with pytest.raises(StudentNotBuilt, match="32 hidden channels") as refused:
        slimmed(model, 0.5, rows(), 0, "Distillation", from_teacher=True)
    assert refused.value.code == "distillation.student_not_built"


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_student_of_minilm_kept_is_worth_more_than_a_fresh_start(shop: Workshop) -> None:
    """Half of each width, the same 40 steps of 16 snippets."""
    spec = DatasetSpec(kind="text", task="classification", training_share=0.6)
    model, snippets = models.minilm_folder().archive, models.snippets()
    recipe = {**LESSON, "steps": 40, "learning_rate": 0.001}
    kept, fresh = (
        shop.apply("torch-distill-width", model, snippets, spec, **recipe, initial=initial).result.evidence
        for initial in ("teacher", "fresh")
    )
    print(json.dumps({"kept": kept, "fresh": fresh}))
    assert kept["held_out_loss_after"] < fresh["held_out_loss_after"]
