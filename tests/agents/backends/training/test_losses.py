"""What training makes smaller, task by task."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from apps.agents.backends.torch.training.augmentation import augmented
from apps.agents.backends.torch.training.losses import Loss, are_probabilities
from apps.agents.contracts.reports.dataset import Task
from apps.agents.techniques.training.rate import rate_at

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 3.0, -2.0]])
TEACHER = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
CLASSES = torch.tensor([0, 2])


def loss(task: Task, distill: float = 0.0, temperature: float = 1.0, *, probabilities: bool = False) -> Loss:
    return Loss(task, 0, distill, temperature, probabilities)


def test_class_labels_are_compared_with_logits_and_with_probabilities() -> None:
    wanted = functional.cross_entropy(LOGITS, CLASSES)
    assert loss(Task.CLASSIFICATION)([LOGITS], None, CLASSES) == pytest.approx(float(wanted))
    likely = [LOGITS.softmax(1)]
    assert are_probabilities(likely[0])
    assert not are_probabilities(LOGITS)
    found = loss(Task.CLASSIFICATION, probabilities=True)(likely, None, CLASSES)
    assert found == pytest.approx(float(wanted), rel=1e-4)


def test_a_single_score_is_the_second_of_two_classes() -> None:
    scores = torch.tensor([[0.3], [-1.2]])
    labels = torch.tensor([1, 0])
    wanted = functional.binary_cross_entropy_with_logits(scores[:, 0], labels.float())
    assert loss(Task.CLASSIFICATION)([scores], None, labels) == pytest.approx(float(wanted))
    found = loss(Task.CLASSIFICATION, probabilities=True)([scores.sigmoid()], None, labels)
    assert found == pytest.approx(float(wanted), rel=1e-4)


def test_soft_labels_have_the_weight_asked_for() -> None:
    hard = float(loss(Task.CLASSIFICATION)([LOGITS], None, CLASSES))
    soft = float(loss(Task.CLASSIFICATION, 1.0, 2.0)([LOGITS], [TEACHER], CLASSES))
    divergence = functional.kl_div((LOGITS / 2).log_softmax(1), (TEACHER / 2).softmax(1), reduction="batchmean")
    assert soft == pytest.approx(4 * float(divergence), rel=1e-5)
    both = float(loss(Task.CLASSIFICATION, 0.25, 2.0)([LOGITS], [TEACHER], CLASSES))
    assert both == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)


def test_numbers_are_compared_with_labels_by_squared_error() -> None:
    labels = torch.tensor([1.0, 2.0])
    assert loss(Task.REGRESSION)([torch.tensor([[2.0], [2.0]])], None, labels) == pytest.approx(0.5)


def test_embeddings_are_compared_with_labels_by_angle() -> None:
    found = loss(Task.EMBEDDING)([LOGITS], None, 3 * LOGITS)
    assert found == pytest.approx(0.0, abs=1e-6)
    assert loss(Task.EMBEDDING)([LOGITS], None, -LOGITS) == pytest.approx(2.0)


def test_without_labels_it_is_the_distance_to_the_originals_outputs() -> None:
    fidelity = loss(Task.FIDELITY)
    assert fidelity.needs_original(LOGITS, None)
    assert fidelity([TEACHER], [TEACHER], None) == 0
    spread = TEACHER.var(correction=0)
    assert fidelity([TEACHER + spread.sqrt()], [TEACHER], None) == pytest.approx(1.0, rel=1e-4)


def test_scores_of_pairs_are_no_targets_for_embeddings_so_the_original_is_used() -> None:
    scores = torch.tensor([0.7])
    assert loss(Task.EMBEDDING).needs_original(LOGITS, scores)
    assert loss(Task.EMBEDDING)([LOGITS], [LOGITS], scores) == pytest.approx(0.0, abs=1e-6)


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    rates = [rate_at(place / 100, 0.1, 0.1) for place in range(101)]
    assert max(rates) == rates[10] == 0.1
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_only_images_are_shifted_and_mirrored() -> None:
    torch.manual_seed(0)
    batch = {"picture": torch.rand(8, 3, 20, 20), "table": torch.rand(8, 12), "maps": torch.rand(8, 64, 20, 20)}
    changed = augmented(batch, 2, mirror=True)
    assert not torch.equal(changed["picture"], batch["picture"])
    assert changed["picture"].shape == (8, 3, 20, 20)
    assert torch.equal(changed["table"], batch["table"])
    assert torch.equal(changed["maps"], batch["maps"])
    assert all(torch.equal(augmented(batch, 0, mirror=False)[name], batch[name]) for name in batch)
