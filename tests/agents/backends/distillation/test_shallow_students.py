"""Shallower students of transformers: which layers they start from, what they learn, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from apps.agents.backends.torch.distillation.inside import LayerStates
from apps.agents.backends.torch.distillation.shortening import Depth, depth_of, shortened
from apps.agents.backends.torch.loading import load_model
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.distillation import StudentNotBuilt
from apps.agents.measuring.engine import open_engine
from apps.agents.techniques.base import Optimized
from tests.agents import torch_models
from tests.agents.workshop import Workshop

LAYERS = 4
UNLABELLED = DatasetSpec(kind="npz", task="fidelity", training_share=0.5)
LESSON: dict[str, Any] = {"steps": 36, "batch_size": 16, "learning_rate": 0.005}
INSIDE = {"hidden_weight": 1.0, "attention_weight": 1.0, "cosine_weight": 1.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shallow"), "transformers")


@pytest.fixture(scope="module")
def teacher(shop: Workshop) -> Path:
    """Its weights are large: layers that hardly change what they get could be left out for nothing."""
    settings = {"num_hidden_layers": LAYERS, "initializer_range": 0.2}
    return torch_models.bert(shop.root / "teacher", settings=settings)


@pytest.fixture(scope="module")
def rows(shop: Workshop) -> Path:
    return shop.examples(**torch_models.tokens(120))


@pytest.fixture(scope="module")
def made(shop: Workshop, teacher: Path, rows: Path) -> Optimized:
    return shop.apply("torch-distill-layers", teacher, rows, UNLABELLED, **LESSON, **INSIDE)


def test_layers_that_stay_are_spread_over_the_depth_and_learn_what_comes_before_the_next() -> None:
    assert Depth(6, 3).kept == (0, 2, 5)
    assert Depth(6, 3).learned == (2, 4, 6)
    assert Depth(12, 6).learned == (2, 4, 6, 8, 10, 12)
    assert Depth(4, 1).kept == (0,)
    assert Depth(4, 1).learned == (4,)


def test_a_student_starts_from_its_teachers_layers(shop: Workshop, teacher: Path) -> None:
    model = load_model(teacher, shop.root)
    student = shortened(model, Depth(LAYERS, 2), 0, from_teacher=True)
    before, after = model.module.state_dict(), student.module.state_dict()
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(after[name.format(1)], before[name.format(3)])
    assert name.format(2) not in after
    assert torch.equal(after["classifier.weight"], before["classifier.weight"])
    fresh = shortened(model, Depth(LAYERS, 2), 1, from_teacher=False).module.state_dict()
    assert not torch.equal(fresh["classifier.weight"], before["classifier.weight"])


def test_what_a_configuration_lists_for_each_layer_is_listed_for_those_that_stay(shop: Workshop) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
    config = Qwen2Config(
        **{**torch_models.TINY_LLAMA, "num_hidden_layers": LAYERS},
        layer_types=kinds,
        use_sliding_window=True,
        sliding_window=8,
        use_cache=False,
    )
    model = torch_models.llama()
    model.module = Qwen2ForCausalLM(config)
    student = shortened(model, depth_of(model, 0.5, "Distillation"), 0, from_teacher=True)
    assert student.module.config.layer_types == ["full_attention", "sliding_attention"]
    assert student.module.lm_head.weight is student.module.model.embed_tokens.weight
    ids = torch.ones(2, 5, dtype=torch.int64)
    assert student.call({"input_ids": ids, "attention_mask": ids})[0].shape == (2, 5, 96)


def test_it_learns_the_outputs_states_and_maps_of_its_teacher(shop: Workshop, made: Optimized) -> None:
    evidence = made.result.evidence
    assert evidence["held_out_loss_after"] < 0.8 * evidence["held_out_loss_before"]
    assert (evidence["layers"], evidence["layers_before"], evidence["layers_kept"]) == (2, LAYERS, [0, 3])


def test_it_is_a_folder_with_fewer_layers_and_the_same_interface(
    shop: Workshop, teacher: Path, made: Optimized
) -> None:
    before, after = (open_engine("transformers", path, shop.root).summary for path in (teacher, made.artifact))
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    config = load_model(made.artifact, shop.root).module.config
    assert config.num_hidden_layers == 2
    assert config._attn_implementation != "eager"  # Maps were read while it learned; it runs as fast as its teacher.


def test_the_same_seed_gives_the_same_file(shop: Workshop, teacher: Path, rows: Path, made: Optimized) -> None:
    again = shop.apply("torch-distill-layers", teacher, rows, UNLABELLED, **LESSON, **INSIDE)
    assert again.artifact.read_bytes() == made.artifact.read_bytes()


def test_padding_takes_no_part_in_states_and_maps(shop: Workshop, teacher: Path) -> None:
    model = load_model(teacher, shop.root)
    model.module.set_attn_implementation("eager")
    tensors = {name: torch.ones(1, 4, dtype=torch.int64) for name in (spec.name for spec in model.summary.inputs)}
    tensors["attention_mask"][0, 2:] = 0
    with torch.no_grad():
        found = LayerStates((1, 4), attention=True)(model, model.module, tensors)
    assert [tuple(state.shape) for state in found.hidden] == [(1, 4, 32)] * 2
    assert [tuple(one.shape) for one in found.attention] == [(1, 4, 4, 4)] * 2
    assert all(float(state[:, 2:].abs().max()) == 0 < float(state[:, :2].abs().max()) for state in found.hidden)
    assert torch.allclose(found.attention[0].sum(-1)[0, 0], torch.tensor([1.0, 1.0, 0.0, 0.0]))


def test_a_share_of_layers_that_is_all_of_them_is_refused_by_name(shop: Workshop, teacher: Path, rows: Path) -> None:
    with pytest.raises(StudentNotBuilt, match="all of them") as refused:
        shop.apply("torch-distill-layers", teacher, rows, UNLABELLED, student_layers=0.95)
    assert refused.value.code == "distillation.student_not_built"
    with pytest.raises(StudentNotBuilt, match="one list of layers"):
        depth_of(torch_models.model_of(torch_models.Convolutional()), 0.5, "Distillation")
