"""A supernet and its sub-networks: the same numbers shared and alone, and what is skipped, sliced and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from apps.agents.backends.torch.architecture.subnetworks import Subnetworks, Wish, anatomy_of, places_of
from apps.agents.backends.torch.architecture.supernet import Supernet
from apps.agents.backends.torch.architecture.timing import timed_network, timed_operator
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import workload_of
from apps.agents.techniques.architecture.space import Kind
from apps.agents.techniques.architecture.table import Operator
from tests.agents.backends.pruning.test_torch_prune import exported
from tests.agents.training_lessons import pictures

WISH = Wish(8, 0.25, heads=True, kernels=True, blocks=True, importance="magnitude")


class Blocks(nn.Module):
    """Pictures [N, 3, 8, 8] to five logits: two identity blocks (one depthwise), a large kernel, rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 5, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32))
        self.second = nn.Sequential(
            nn.Conv2d(32, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 5, padding=2, groups=64), nn.ReLU(), nn.Conv2d(64, 32, 1)
        )
        self.change = nn.Conv2d(32, 48, 3, stride=2, padding=1)
        self.hidden = nn.Linear(48 * 4, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        planes = self.stem(x)
        planes = torch.relu(planes + self.first(planes))
        planes = self.second(planes) + planes
        planes = nn.functional.avg_pool2d(torch.relu(self.change(planes)), 2)
        return self.head(torch.relu(self.hidden(planes.flatten(1))))  # type: ignore[no-any-return]


@pytest.fixture
def subnetworks(tmp_path: Path) -> Subnetworks:
    torch.manual_seed(0)
    module = Blocks()
    with torch.no_grad():
        module.train()(torch.from_numpy(pictures()))  # Statistics that are not 0 and 1.
    path = exported(module.eval(), tmp_path / "model.pt2", (3, 8, 8))
    feeds = {"x": pictures(2)}
    model = to_cut(load_model(path, tmp_path), feeds, tmp_path, "Search")
    tensors = (torch.from_numpy(pictures(2)),)
    anatomy = anatomy_of(model.module, tensors, 2, WISH, lambda module: None)
    return Subnetworks(model, Supernet(model.module, anatomy).eval(), tensors, 2)


def test_widths_kernels_and_blocks_are_found(subnetworks: Subnetworks) -> None:
    found = {(one.kind, one.name): one.options for one in subnetworks.space.dimensions}
    assert found[Kind.WIDTH, "stem.0"] == (8, 16, 24, 32)
    assert found[Kind.WIDTH, "hidden"] == (8, 16, 24, 32)
    assert found[Kind.KERNEL, "stem.0"] == (3, 5)
    assert found[Kind.KERNEL, "second.2"] == (3, 5)
    assert [name for kind, name in found if kind is Kind.BLOCK] == ["first.0", "second.0"]
    coupled = next(one for one in subnetworks.space.dimensions if one.name == "stem.0" and one.kind is Kind.WIDTH)
    assert set(coupled.layers) == {"stem.0", "first.0", "second.4"}  # They meet in the shortcuts' sums.
    inside = {one.name: one.inside for one in subnetworks.space.dimensions if one.kind is Kind.WIDTH}
    assert inside == {"stem.0": (), "second.0": ("second.0",), "change": (), "hidden": ()}
    assert (Kind.WIDTH, "head") not in found


def test_a_sub_network_computes_the_same_shared_and_alone_and_exported(subnetworks: Subnetworks) -> None:
    random = np.random.default_rng(0)
    drawn = [subnetworks.space.random(random) for _ in range(6)]
    assert {len(subnetworks.supernet.anatomy.skipped(values)) for values in drawn} >= {0, 1}
    for values in (subnetworks.space.smallest, subnetworks.space.largest, *drawn):
        subnetworks.supernet.chosen = values
        alone = subnetworks.alone(values)
        with torch.no_grad():
            shared, own = subnetworks.supernet(*subnetworks.tensors), alone.module(*subnetworks.tensors)
        assert torch.equal(shared, own)
        timed_network(alone, {"x": pictures(2)}, 1, "Search")  # Compares its export.


def test_work_is_counted_without_running(subnetworks: Subnetworks) -> None:
    random = np.random.default_rng(1)
    for values in (
        subnetworks.space.smallest,
        subnetworks.space.largest,
        *(subnetworks.space.random(random) for _ in range(4)),
    ):
        assert subnetworks.workload(values) == workload_of(subnetworks.alone(values).module, subnetworks.tensors, 2)


def test_the_most_important_channels_are_kept(subnetworks: Subnetworks) -> None:
    whole = subnetworks.model.module.get_submodule("hidden").weight
    values = subnetworks.space.read(["width:hidden=8"])
    kept = subnetworks.alone(values).module.get_submodule("hidden").weight
    anatomy = subnetworks.supernet.anatomy
    group = next(group for group, _ in anatomy.widths(values) if group.layers == ("hidden",))
    ranks = next(slot.ranks for slot in group.slots if (slot.tensor, slot.axis) == ("hidden.weight", 0))
    assert torch.equal(kept, whole[ranks < 8])
    heads = subnetworks.model.module.get_submodule("head").weight
    scores = (
        whole.square().sum(1) + heads.square().sum(0) + subnetworks.model.module.get_submodule("hidden").bias.square()
    )
    assert set(scores.topk(8).indices.tolist()) & set((ranks < 8).nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("part", "shape", "operator"),
    [
        (nn.Conv2d(16, 32, 3, padding=1, stride=2), (2, 16, 8, 8), Operator("layer", 8, 24, 3)),
        (nn.Conv2d(16, 32, 5, padding="same"), (2, 16, 8, 8), Operator("layer", 8, 24, 3)),
        (nn.Conv2d(16, 32, 3, groups=4), (2, 16, 8, 8), Operator("layer", 16, 32, 3)),
        (nn.Conv2d(16, 16, 5, padding=2, groups=16), (2, 16, 8, 8), Operator("layer", 8, 8, 3)),
        (nn.Conv1d(16, 32, 3, padding=2, dilation=2), (2, 16, 20), Operator("layer", 8, 24, 3)),
        (nn.ConvTranspose2d(16, 32, 2, stride=2), (2, 16, 8, 8), Operator("layer", 8, 24, 2)),
        (nn.Linear(16, 32), (2, 7, 16), Operator("layer", 8, 24, 0)),
    ],
)
def test_every_kind_of_layer_is_timed_alone(part: nn.Module, shape: tuple[int, ...], operator: Operator) -> None:
    place = places_of(part, (torch.zeros(shape),), 2)[""]
    timed = timed_operator(place, operator, 1)
    (made,) = timed.session.run(None, timed.feeds)
    with torch.no_grad():
        wanted = part(torch.zeros(shape))
    axis = -1 if isinstance(part, nn.Linear) else 1
    assert made.shape[axis] == operator.outputs
    assert made.size // made.shape[axis] == place.made == wanted.numel() // 2 // wanted.shape[axis]


def test_gradients_of_a_sub_network_reach_only_its_weights(subnetworks: Subnetworks) -> None:
    values = subnetworks.space.read(["width:hidden=8", "kernel:stem.0=3", "block:first.0=0"])
    subnetworks.supernet.chosen = values
    subnetworks.supernet(*subnetworks.tensors).square().mean().backward()
    hidden = subnetworks.model.module.get_submodule("hidden").weight.grad
    stem = subnetworks.model.module.get_submodule("stem.0").weight.grad
    assert int((hidden.abs().sum(1) > 0).sum()) <= 8
    assert float(stem[:, :, 0].abs().sum()) == 0
    assert float(stem[:, :, 1:-1, 1:-1].abs().sum()) > 0
    assert subnetworks.model.module.get_submodule("first.0").weight.grad is None
    assert subnetworks.model.module.get_submodule("stem.0").padding == (2, 2)  # As it was.


def test_a_sub_network_leaves_the_statistics_of_the_whole_alone(subnetworks: Subnetworks) -> None:
    norm = subnetworks.model.module.get_submodule("stem.1")
    before = norm.running_mean.clone()
    subnetworks.supernet.train()
    subnetworks.supernet.chosen = subnetworks.space.smallest
    subnetworks.supernet(*subnetworks.tensors)
    assert torch.equal(norm.running_mean, before)
    subnetworks.supernet.chosen = subnetworks.space.largest
    subnetworks.supernet(*subnetworks.tensors)
    assert not torch.equal(norm.running_mean, before)
