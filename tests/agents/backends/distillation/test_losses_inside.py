"""Distances between what a student and its teacher compute inside, and the projections between their widths."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from apps.agents.backends.torch.distillation.loss import StudentLoss, Weights, angle, map_distance, state_distance
from apps.agents.backends.torch.distillation.projections import Projection, projections_for
from apps.agents.backends.torch.training.losses import Loss
from apps.agents.contracts.errors.distillation import StudentDiffers
from apps.agents.contracts.reports.dataset import Task

TEACHER = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 3.0, -2.0]])
CLASSES = torch.tensor([0, 2])


def test_a_state_is_as_far_as_its_error_is_of_the_teachers_variance() -> None:
    assert state_distance(TEACHER, TEACHER) == 0
    mean = torch.full_like(TEACHER, float(TEACHER.mean()))
    assert state_distance(mean, TEACHER) == pytest.approx(1.0, rel=1e-4)
    assert state_distance(100 * mean, 100 * TEACHER) == pytest.approx(1.0, rel=1e-4)


def test_attention_is_compared_row_by_row_and_padding_does_not_count() -> None:
    torch.manual_seed(0)
    given, wanted = (torch.randn(1, 2, 3, 3).softmax(-1) for _ in range(2))
    divergence = functional.kl_div(given.log(), wanted, reduction="none").sum(-1)
    assert map_distance(given, wanted) == pytest.approx(float(divergence.mean()), rel=1e-4)
    for one in (given, wanted):
        one[:, :, 2] = 0
    assert map_distance(given, wanted) == pytest.approx(float(divergence[:, :, :2].mean()), rel=1e-4)


def test_an_angle_is_that_of_states_averaged_over_their_positions() -> None:
    planes = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert angle(5 * planes, planes, 1) == pytest.approx(0.0, abs=1e-6)
    other = planes.flip(1)
    wanted = 1 - functional.cosine_similarity(other.mean((2, 3)), planes.mean((2, 3))).mean()
    assert angle(other, planes, 1) == pytest.approx(float(wanted), rel=1e-5)
    tokens = planes.flatten(2).transpose(1, 2)
    assert angle(tokens.flip(2), tokens, -1) == pytest.approx(float(wanted), rel=1e-5)


def test_distances_are_added_with_their_weights() -> None:
    torch.manual_seed(0)
    states, maps = torch.randn(2, 2, 4), torch.rand(2, 2, 1, 3, 3).softmax(-1)
    outer = Loss(Task.CLASSIFICATION, 0, 0.5, 2.0)
    loss = StudentLoss(Task.CLASSIFICATION, 0, 0.5, 2.0, False, 1, 1, -1, Weights(2.0, 3.0, 4.0))
    found = loss([LOGITS, states[0], maps[0]], [TEACHER, states[1], maps[1]], CLASSES)
    parts = (state_distance(*states), map_distance(*maps), angle(*states, -1))
    wanted = outer([LOGITS], [TEACHER], CLASSES) + 2 * parts[0] + 3 * parts[1] + 4 * parts[2]
    assert found == pytest.approx(float(wanted), rel=1e-5)


def test_states_inside_need_the_original_although_labels_do_not() -> None:
    labels_alone = StudentLoss(Task.CLASSIFICATION, 0, 0.0, 1.0)
    assert not labels_alone.needs_original(LOGITS, CLASSES)
    inside = StudentLoss(Task.CLASSIFICATION, 0, 0.0, 1.0, weights=Weights(cosine=1.0))
    assert inside.needs_original(LOGITS, CLASSES)


def test_projections_map_channels_to_the_teachers_widths() -> None:
    given = [torch.zeros(2, 3, 5, 5), torch.zeros(2, 7, 4), torch.zeros(2, 6)]
    wanted = [torch.zeros(2, 8, 5, 5), torch.zeros(2, 7, 9), torch.zeros(2, 6)]
    made = projections_for(given, wanted, (1, -1, -1), "Distillation")
    assert [one.shape for one in made(given)] == [one.shape for one in wanted]
    assert [tuple(weight.shape) for weight in made.parameters()] == [(8, 3), (9, 4)]  # Equal widths learn nothing.


def test_a_projection_of_planes_is_a_convolution_of_one_pixel() -> None:
    torch.manual_seed(0)
    planes, projection = torch.randn(2, 3, 4, 4), Projection(3, 5, 1)
    assert isinstance(projection.map, nn.Linear)
    wanted = functional.conv2d(planes, projection.map.weight[:, :, None, None])
    assert torch.allclose(projection(planes), wanted, atol=1e-6)


def test_states_of_other_planes_are_refused_by_name() -> None:
    with pytest.raises(StudentDiffers, match="hidden state 1") as refused:
        projections_for([torch.zeros(2, 3, 4, 4)], [torch.zeros(2, 3, 8, 8)], (1,), "Distillation")
    assert refused.value.code == "distillation.student_differs"
