"""Training of models that predict tokens: windows of texts, what is learned, and zeros that stay."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.training.examples import examples_of
from apps.agents.backends.torch.training.losses import Loss
from apps.agents.backends.torch.training.step import Stepper
from apps.agents.backends.torch.training.token_losses import next_token_loss, token_divergence
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.dataset_spec import DatasetSpec, Metric
from apps.agents.contracts.reports.dataset import Task
from apps.agents.contracts.text import IGNORED
from apps.agents.datasets.loading import Dataset
from apps.agents.datasets.targets import TokenTargets
from apps.agents.evaluation.metrics.likelihood import PerplexityScorer
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.protocol import ModelFile
from apps.agents.techniques.training import trainer
from apps.agents.techniques.training.hyperparameters import Hyperparameters
from tests.agents import language_models, text_folders
from tests.agents.language_models import PERPLEXITY, TEXTS
from tests.agents.told import Killed, Killing, Told
from tests.agents.workshop import Workshop
from tests.assets import models

SHORT: dict[str, Any] = {"steps": 60, "batch_size": 8, "learning_rate": 0.01, "temperature": 1.0}
LABELS: dict[str, Any] = {**SHORT, "distill": 0.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("language"), "transformers")


@pytest.fixture(scope="module")
def fresh(shop: Workshop) -> Path:
    return language_models.llama(shop.root)


@pytest.fixture(scope="module")
def texts(shop: Workshop) -> Path:
    return language_models.texts(shop.root / "texts.jsonl")


@pytest.fixture(scope="module")
def learned(shop: Workshop, fresh: Path, texts: Path) -> Path:
    """A Llama that knows the language of the texts."""
    return shop.apply("torch-recover", fresh, texts, PERPLEXITY, **{**LABELS, "steps": 150}).artifact


def most_nats_lost(before: Path, after: Path, dataset: Dataset, scratch: Path) -> float:
    """The upper end of the interval of the nats per token that `after` loses more on the evaluation part."""
    runs = [open_engine("transformers", path, scratch).session(Target()) for path in (before, after)]
    scorer = PerplexityScorer()
    for feeds, targets in dataset.evaluation(4):
        scorer.add(*(run(feeds)[0] for run in runs), targets)
    high = next(one for one in scorer.comparisons(0.95, 0) if one.metric == Metric.NLL).drop.high
    assert high is not None
    return high


# --- what is learned ------------------------------------------------------------------------------------------------


def test_the_losses_read_only_tokens_that_are_to_be_predicted() -> None:
    logits, other = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    targets = torch.tensor([[1, 4, IGNORED], [0, IGNORED, IGNORED]])
    log = torch.log_softmax(logits, -1)
    assert next_token_loss(logits, targets).item() == pytest.approx(-(log[0, 0, 1] + log[0, 1, 4] + log[1, 0, 0]) / 3)
    kept, changed = logits[targets != IGNORED], logits.clone()
    changed[:, 2] = 9.0
    assert torch.equal(next_token_loss(changed, targets), next_token_loss(logits, targets))
    assert token_divergence(logits, logits, targets, 2.0).item() == pytest.approx(0, abs=1e-6)
    soft = torch.softmax(other[targets != IGNORED] / 2, -1)
    wanted = (soft * (soft.log() - torch.log_softmax(kept / 2, -1))).sum(-1).mean() * 4
    assert token_divergence(logits, other, targets, 2.0).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_model_that_knows_nothing_learns_the_next_tokens(shop: Workshop, fresh: Path, texts: Path) -> None:
    made = shop.apply("torch-recover", fresh, texts, PERPLEXITY, **LABELS)
    evidence = made.result.evidence
    assert evidence["held_out_loss_before"] == pytest.approx(math.log(24), abs=0.5)
    assert evidence["held_out_loss_after"] < 0.6 * evidence["held_out_loss_before"]
    assert list(shop.told.curves) == ["held-out loss", "training loss"]
    again = shop.apply("torch-recover", fresh, texts, PERPLEXITY, **LABELS)
    assert again.artifact.read_bytes() == made.artifact.read_bytes()


def test_a_model_that_lost_half_of_its_features_learns_from_the_original(
    shop: Workshop, learned: Path, texts: Path
) -> None:
    cut = shop.apply("torch-prune-width", learned, texts, PERPLEXITY, removed=0.75, compensate=False).artifact
    assignment = shop.assignment("torch-recover", cut, texts, PERPLEXITY, **{**SHORT, "distill": 1.0})
    teacher = ModelFile(format="transformers", path=learned)
    made = shop.run(replace(assignment, further_inputs={"teacher": teacher}))
    assert made.result.evidence["held_out_loss_after"] < 0.3 * made.result.evidence["held_out_loss_before"]
    assert most_nats_lost(cut, made.artifact, assignment.dataset, shop.root) < 0


def test_a_student_with_fewer_layers_learns_tokens_and_states(shop: Workshop, learned: Path, texts: Path) -> None:
    hyperparameters = {**SHORT, "initial": "fresh", "hidden_weight": 0.1}
    made = shop.apply("torch-distill-layers", learned, texts, PERPLEXITY, **hyperparameters).result
    assert (made.evidence["layers_before"], made.evidence["layers"]) == (2, 1)
    assert made.evidence["held_out_loss_after"] < 0.7 * made.evidence["held_out_loss_before"]


# --- windows --------------------------------------------------------------------------------------------------------


def test_examples_are_windows_of_texts_that_are_in_no_other_part(shop: Workshop, fresh: Path, texts: Path) -> None:
    dataset = shop.assignment("torch-recover", fresh, texts, PERPLEXITY).dataset
    part = dataset.training_part
    assert part is not None
    room = text_folders.LENGTH - 1
    assert len(part.indices) == TEXTS / 2 * math.ceil(language_models.WORDS_OF_A_TEXT / room)
    feeds, targets = part.take(part.indices[:3])
    assert isinstance(targets, TokenTargets)
    assert feeds["input_ids"].shape == targets.tokens.shape == (3, text_folders.LENGTH)
    np.testing.assert_array_equal(targets.tokens[0, :room], feeds["input_ids"][0, 1:])
    _, every = part.take(part.indices)
    others = {*dataset.calibration_indices, *dataset.evaluation_indices}
    assert len({*every.examples}) == TEXTS / 2
    assert not {*every.examples} & others


def test_a_batch_that_does_not_fit_is_taken_in_portions_with_the_same_gradients(
    shop: Workshop, fresh: Path, texts: Path
) -> None:
    dataset = shop.assignment("torch-recover", fresh, texts, PERPLEXITY).dataset
    weights = []
    for divisor in (1, 4):
        model, hyperparameters = load_model(fresh, shop.root), Hyperparameters(batch_size=8, distill=0.0)
        examples = examples_of(dataset, model, 8, 0, "cpu", "Training", divisor)
        portions = examples.portions(0)
        assert [len(one.places) for one in portions] == [8 // divisor] * divisor
        assert sum(one.counted for one in portions) > 8
        loss = Loss(Task.LANGUAGE_MODELING, 0, 0.0, 1.0)
        optimizer = torch.optim.SGD(model.module.parameters(), lr=0.0)
        optimizer.param_groups[0]["scale"] = 1.0
        stepper = Stepper(model, None, examples, loss, optimizer, hyperparameters)
        weights.append((stepper.step(0, 0.1), stepper.check(), model.module.state_dict()))
    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-5)
    assert weights[0][1] == pytest.approx(weights[1][1], rel=1e-5)
    for name, tensor in weights[0][2].items():
        torch.testing.assert_close(tensor, weights[1][2][name], rtol=1e-4, atol=1e-6)


def test_of_several_continuations_the_right_one_is_learned(shop: Workshop, fresh: Path) -> None:
    lines = [f'{{"context": "w1 w2", "choices": ["w3 w4", "w9"], "answer": {at % 2}}}\n' for at in range(60)]
    (shop.root / "choices.jsonl").write_text("".join(lines))
    spec = DatasetSpec(kind="text", task="multiple_choice", training_share=0.5)
    part = shop.assignment("torch-recover", fresh, shop.root / "choices.jsonl", spec).dataset.training_part
    assert part is not None
    _, targets = part.take(part.indices)
    assert isinstance(targets, TokenTargets)
    assert len(part.indices) == 30
    assert targets.right.all()


# --- zeros ----------------------------------------------------------------------------------------------------------


def zeros(model: Path, scratch: Path) -> dict[str, torch.Tensor]:
    """Where the weights of linear layers are zero, by the layer's name, without the output head."""
    layers = load_model(model, scratch).module.named_modules()
    return {name: one.weight == 0 for name, one in layers if isinstance(one, nn.Linear) and name != "lm_head"}


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_zeros_stay_where_they_are_while_the_rest_learns(
    shop: Workshop, fresh: Path, texts: Path, pattern: str, optimizer: str
) -> None:
    sparse = shop.apply("torch-magnitude", fresh, texts, PERPLEXITY, sparsity=0.6, pattern=pattern).artifact
    hyperparameters = {**LABELS, "steps": 20, "optimizer": optimizer}
    made = shop.apply("torch-recover", sparse, texts, PERPLEXITY, **hyperparameters)
    before, after = zeros(sparse, shop.root), zeros(made.artifact, shop.root)
    assert all(torch.equal(where, after[name]) for name, where in before.items())
    assert made.result.evidence["zeros_kept"] == sum(int(where.sum()) for where in before.values())
    assert made.result.evidence["held_out_loss_after"] < made.result.evidence["held_out_loss_before"]
    if pattern == "2:4":
        assert all(bool((where.reshape(-1, 4).sum(1) == 2).all()) for where in after.values())


def test_zeros_are_filled_only_if_the_recipe_says_so(shop: Workshop, fresh: Path, texts: Path) -> None:
    sparse = shop.apply("torch-magnitude", fresh, texts, PERPLEXITY, sparsity=0.5).artifact
    hyperparameters = {**LABELS, "steps": 5, "keep_zeros": False}
    made = shop.apply("torch-recover", sparse, texts, PERPLEXITY, **hyperparameters)
    assert sum(int(where.sum()) for where in zeros(made.artifact, shop.root).values()) < 100
    assert "zeros_kept" not in made.result.evidence


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_model_without_half_of_its_weights_gets_better_on_stories_that_it_has_not_learned(
    shop: Workshop,
) -> None:
    original, stories = models.stories15m_folder().archive, models.own_stories()
    sparse = shop.apply("torch-magnitude", original, stories, PERPLEXITY, sparsity=0.5).artifact
    hyperparameters: dict[str, Any] = {"steps": 16, "batch_size": 8, "learning_rate": 5e-4, "temperature": 1.0}
    assignment = shop.assignment("torch-recover", sparse, stories, PERPLEXITY, **hyperparameters)
    teacher = ModelFile(format="transformers", path=original)
    made = shop.run(replace(assignment, further_inputs={"teacher": teacher}))
    assert most_nats_lost(sparse, made.artifact, assignment.dataset, shop.root) < 0
    places, still = zeros(sparse, shop.root), zeros(made.artifact, shop.root)
    assert all(torch.equal(where, still[name]) for name, where in places.items())


# --- interruptions --------------------------------------------------------------------------------------------------


def resumed_like_undisturbed(shop: Workshop, monkeypatch: pytest.MonkeyPatch, sparse: Path, texts: Path) -> None:
    """A training that was killed ends with the same file as one that was not."""
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", 0.0)
    whole = shop.apply("torch-recover", sparse, texts, PERPLEXITY, **LABELS)
    told = shop.told
    try:
        shop.told = killing = Killing()
        with pytest.raises(Killed):
            shop.apply("torch-recover", sparse, texts, PERPLEXITY, **LABELS)
        kept = shop.root / "kept.pt"
        kept.write_bytes(killing.kept[-1])
        shop.told = Told(checkpoint=kept)
        again = shop.apply("torch-recover", sparse, texts, PERPLEXITY, **LABELS)
        assert any("continues at step" in line for line in shop.told.lines)
    finally:
        shop.told = told
    assert again.artifact.read_bytes() == whole.artifact.read_bytes()


def test_a_killed_training_continues_to_the_same_file(
    shop: Workshop, fresh: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = shop.apply("torch-magnitude", fresh, texts, PERPLEXITY, sparsity=0.5).artifact
    resumed_like_undisturbed(shop, monkeypatch, sparse, texts)


@pytest.mark.gpu
def test_on_cuda_a_sparse_model_learns_in_bfloat16_resumes_and_keeps_its_zeros(
    shop: Workshop, fresh: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = shop.apply("torch-magnitude", fresh, texts, PERPLEXITY, pattern="2:4").artifact
    made = shop.apply("torch-recover", sparse, texts, PERPLEXITY, **LABELS)
    evidence = made.result.evidence
    assert (evidence["device"], evidence["precision"]) == ("cuda", "bfloat16")
    assert evidence["held_out_loss_after"] < evidence["held_out_loss_before"]
    before, after = zeros(sparse, shop.root), zeros(made.artifact, shop.root)
    assert all(torch.equal(where, after[name]) for name, where in before.items())
    resumed_like_undisturbed(shop, monkeypatch, sparse, texts)
