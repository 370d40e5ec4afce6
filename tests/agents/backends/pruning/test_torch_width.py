"""Narrower transformers: what goes, what the folder says of it afterwards, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from apps.agents.backends.torch.width.blocks import Block, attention, feed_forward
from apps.agents.backends.torch.width.cutting import SAME, cut, difference
from apps.agents.backends.torch.width.expressing import Inexpressible
from apps.agents.backends.torch.width.layer_inputs import Watcher
from apps.agents.backends.torch.width.narrowing import Manner, Narrowing
from apps.agents.backends.torch.width.selection import kept_units
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.files.archives import unpack
from apps.agents.techniques.base import Optimized, agent_for
from tests.agents.text_folders import classifier
from tests.agents.torch_models import bert, llama_archive, tokens
from tests.agents.torch_uploads import folder_zip
from tests.agents.workshop import Workshop
from tests.assets.models import Transformer

FIDELITY = DatasetSpec(kind="npz", task="fidelity")
PAIRS = DatasetSpec(kind="text", task="embedding", pooling="mean")
FITTED = Manner("reconstruction", True, 1e-3)
FAMILIES = ("Bert", "Roberta", "RobertaPreLayerNorm", "Electra", "MPNet", "OPT", "Llama")


def rows(count: int = 24, vocabulary: int = 24) -> list[dict[str, torch.Tensor]]:
    return [
        {name: torch.from_numpy(array[at : at + 1]) for name, array in tokens(count, 12, vocabulary).items()}
        for at in range(count)
    ]


def narrowed(model: PreTrainedModel, count: int, manner: Manner = FITTED) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The model that does not read the features any more, and the one without them."""
    kind, blocks = feed_forward(model, model.config)
    student = copy.deepcopy(model)
    narrowing = Narrowing(model, student, rows(), manner)
    kept = [(block, narrowing.narrow(block, count).kept) for block in blocks]
    return student, cut(student, kind.numbers(count), kept)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrower_folder_computes_the_same_as_the_model_that_ignores_the_removed_features(
    family: str, tmp_path: Path
) -> None:
    model = classifier(family)
    student, made = narrowed(model, 16)
    assert difference(student, made, rows(4)) < SAME
    made.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert getattr(again.config, "ffn_dim", None) == 16 or again.config.intermediate_size == 16
    assert difference(made, again.eval(), rows(4)) < 1e-6


@pytest.mark.parametrize("family", ["Bert", "Llama"])
def test_if_nothing_is_removed_the_fit_does_not_change_the_function(family: str) -> None:
    model = classifier(family)
    student, made = narrowed(model, 32)
    assert difference(model, student, rows(4)) < 1e-5
    assert difference(model, made, rows(4)) < 1e-5


def twins(model: PreTrainedModel) -> PreTrainedModel:
    """Every second feature of its feed-forward block repeats the one before it."""
    block = feed_forward(model, model.config)[1][0]
    with torch.no_grad():
        for name in block.makers:
            for tensor in model.get_submodule(name).parameters():
                tensor[1::2] = tensor[::2]
    return model


@pytest.mark.parametrize("family", ["Bert", "RobertaPreLayerNorm", "Llama"])
def test_duplicate_features_are_removed_without_loss_if_the_readers_are_fitted(family: str) -> None:
    model = twins(classifier(family))
    _, made = narrowed(model, 16, Manner("reconstruction", True, 1e-7))
    _, unfitted = narrowed(model, 16, Manner("variance", False, 1e-7))
    assert difference(model, made, rows(4)) < 1e-3
    assert difference(model, unfitted, rows(4)) > 3 * difference(model, made, rows(4))


def test_the_units_that_predict_the_others_stay() -> None:
    """The last unit is the first, three times as large: one of them can go, although the two others add less."""
    random = np.random.default_rng(0)
    parts = random.standard_normal((4, 2, 500))
    parts[3] = 3 * parts[0]
    gram, weight = np.cov(parts.reshape(8, 500)), np.ones((5, 8))
    weight[:, 2:4] *= 0.5
    assert {1, 2} < set(kept_units(gram, weight, 2, 3, 1e-6, "reconstruction").tolist())
    assert kept_units(gram, weight, 2, 3, 1e-6, "variance").tolist() == [0, 2, 3]


@pytest.mark.parametrize("family", ["Bert", "RobertaPreLayerNorm", "Llama"])
def test_the_norm_after_a_block_reads_the_sum_with_the_residual_branch(family: str) -> None:
    model = classifier(family)
    watcher = Watcher(model, feed_forward(model, model.config)[1][0].reader)
    watcher.settle(rows(1)[0])
    assert watcher.through_norm
    seen = watcher.see(rows(1)[0])
    assert seen.summed.shape == seen.given.shape
    assert not torch.allclose(seen.summed, seen.given)


# --- the technique ----------------------------------------------------------------------------------------------------


def applied(tmp_path: Path, archive: Path, **parameters: Any) -> tuple[Optimized, Path]:
    """The result, and the folder in it."""
    workshop = Workshop(tmp_path, "transformers")
    data = workshop.examples(**tokens(120))
    made = workshop.apply("torch-prune-width", archive, data, FIDELITY, **parameters)
    (tmp_path / "unpacked").mkdir()
    unpack(made.artifact, tmp_path / "unpacked", None)
    return made, next((tmp_path / "unpacked").rglob("config.json")).parent


def test_heads_that_share_a_key_are_removed_together_and_plain_transformers_loads_the_result(tmp_path: Path) -> None:
    made, folder = applied(tmp_path, llama_archive(tmp_path / "a"), what="both", removed=0.5)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (2, 1, 8)
    assert config.intermediate_size == 16  # Of 48 half would be 24: of the nearest multiples of 16 the narrower.
    attention_of = model.model.layers[1].self_attn
    assert attention_of.q_proj.weight.shape == (16, 32)
    assert attention_of.k_proj.weight.shape == (8, 32)
    assert made.result.evidence["widths"] == {"feed-forward": [48, 16], "heads": [2, 1]}
    assert made.result.evidence["macs_removed"] > 0.2
    assert any("num_key_value_heads is 1 instead of 2" in check for check in made.result.checks)


def test_the_same_examples_give_the_same_bytes_and_a_cut_without_fitting_different_ones(tmp_path: Path) -> None:
    archive = bert(tmp_path / "a")
    folders = [tmp_path / name for name in ("b", "c", "d")]
    for folder in folders:
        folder.mkdir()
    first, second = (applied(folder, archive, removed=0.3)[0] for folder in folders[:2])
    plain, _ = applied(folders[2], archive, removed=0.3, compensate=False)
    assert first.artifact.read_bytes() == second.artifact.read_bytes()
    assert plain.artifact.read_bytes() != first.artifact.read_bytes()
    assert {one["layer"] for one in first.result.evidence["fitted"]} == {
        f"bert.encoder.layer.{number}.output.dense" for number in (0, 1)
    }
    assert not plain.result.evidence["fitted"]


def test_minilm_keeps_its_embeddings_without_a_quarter_of_its_features(
    tmp_path: Path, minilm_encoder: Transformer, word_similarity: Path
) -> None:
    workshop = Workshop(tmp_path, "transformers")
    made = workshop.apply(
        "torch-prune-width",
        minilm_encoder.archive,
        word_similarity,
        PAIRS,
        importance="variance",
        removed=0.25,
        calibration_examples=48,
    )
    unpack(made.artifact, tmp_path, None)
    folder = next(tmp_path.glob("**/config.json")).parent
    small, whole = (AutoModel.from_pretrained(path).eval() for path in (folder, minilm_encoder.folder))
    assert small.config.intermediate_size == 1152
    row = {"input_ids": torch.tensor([[101, 6077, 102]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    with torch.inference_mode():
        a, b = (model(**row).last_hidden_state.mean(1) for model in (whole, small))
    assert float(torch.cosine_similarity(a, b)) > 0.9


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusal(tmp_path: Path, archive: Path, **parameters: Any) -> str:
    workshop = Workshop(tmp_path, "transformers")
    assignment = workshop.assignment(
        "torch-prune-width", archive, workshop.examples(**tokens(120)), FIDELITY, **parameters
    )
    with pytest.raises(TechniqueNotApplicable) as refused:
        agent_for(assignment.spec).run(assignment, workshop.told)
    assert refused.value.code == "technique.not_applicable"
    return refused.value.message


def test_bert_s_heads_are_refused_because_its_configuration_cannot_store_fewer(tmp_path: Path) -> None:
    message = refusal(tmp_path, bert(tmp_path / "a"), what="heads")
    assert "heads of attention" in message
    assert "head_dim" in message
    assert '"feed-forward"' in message


def outline(family: str, **settings: Any) -> PreTrainedModel:
    config = getattr(transformers, f"{family}Config")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, vocab_size=96, **settings
    )
    return getattr(transformers, f"{family}Model")(config).eval()


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("GPT2", {}, "one width"),
        ("Phi3", {"intermediate_size": 48, "pad_token_id": 0}, "gate_up_proj"),
        ("Mixtral", {"intermediate_size": 48, "num_local_experts": 2}, "experts"),
    ],
)
def test_what_cannot_be_followed_is_named(family: str, settings: dict[str, Any], reason: str) -> None:
    model = outline(family, **settings)
    with pytest.raises(Inexpressible, match=reason):
        feed_forward(model, model.config)


def test_a_number_of_heads_that_the_configuration_rejects_is_refused_with_its_reason() -> None:
    """Llama's hidden size must be a multiple of the heads: 4 of 32 can lose two of their number, and not one."""
    model = outline("Llama", intermediate_size=48, num_key_value_heads=4)
    kind, blocks = attention(model, model.config)
    assert kind.units == 4
    assert isinstance(blocks[0], Block)
    model = outline("Llama", intermediate_size=48, num_key_value_heads=1)
    with pytest.raises(Inexpressible, match="share one key"):
        attention(model, model.config)


def test_layers_that_run_several_times_are_refused_by_name(tmp_path: Path) -> None:
    message = refusal(tmp_path, albert_archive(tmp_path / "albert"))
    assert "ffn_output runs 2 times" in message


def albert_archive(folder: Path) -> Path:
    config = transformers.AlbertConfig(
        vocab_size=96,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
    )
    transformers.AlbertModel(config).save_pretrained(folder)
    return folder_zip(folder, folder.parent / "albert.zip")
