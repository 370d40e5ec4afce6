"""Heads of attentions that a sub-network does without: where they are found, and what is left without them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from apps.agents.backends.torch.architecture.subnetworks import Subnetworks, Wish, anatomy_of
from apps.agents.backends.torch.architecture.supernet import Supernet
from apps.agents.backends.torch.architecture.timing import timed_network
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.pruning.program import to_cut
from apps.agents.backends.torch.pruning.workload import workload_of
from apps.agents.techniques.architecture.space import Kind
from tests.agents.backends.architecture.attending import (
    HEADS,
    PATCHES,
    WIDTH,
    Apart,
    Attending,
    Biased,
    LengthFirst,
    Library,
    SideBySide,
)
from tests.agents.backends.pruning.test_torch_prune import exported
from tests.agents.training_lessons import pictures

WISH = Wish(8, 0.25, heads=True, kernels=True, blocks=True, importance="magnitude")
KINDS = (Library, LengthFirst, Apart, SideBySide)
ROWS = 2


def networks_of(kind: type[nn.Module], folder: Path, wish: Wish = WISH) -> Subnetworks:
    torch.manual_seed(0)
    path = exported(Attending(kind).eval(), folder / "model.pt2", (3, 8, 8))
    model = to_cut(load_model(path, folder), {"x": pictures(ROWS)}, folder, "Search")
    tensors = (torch.from_numpy(pictures(ROWS)),)
    anatomy = anatomy_of(model.module, tensors, ROWS, wish, lambda module: None)
    return Subnetworks(model, Supernet(model.module, anatomy).eval(), tensors, ROWS)


def heads_of(networks: Subnetworks) -> dict[str, tuple[int, ...]]:
    return {one.name: one.options for one in networks.space.dimensions if one.kind is Kind.HEADS}


@pytest.mark.parametrize("kind", KINDS)
def test_heads_are_found_however_the_attention_is_written(kind: type[nn.Module], tmp_path: Path) -> None:
    networks = networks_of(kind, tmp_path)
    assert list(heads_of(networks).values()) == [tuple(range(1, HEADS + 1))] * 2
    held = {layer for one in networks.supernet.anatomy.attentions for layer in one.group.layers}
    assert not held & {layer for group in networks.supernet.anatomy.groups for layer in group.layers}
    core = networks.supernet.anatomy.attentions[0].core
    assert (core.count, core.heads, core.queries, core.keys, core.width) == (1, HEADS, PATCHES, PATCHES, WIDTH // HEADS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_fewer_heads_is_smaller_and_computes_the_same_shared_alone_and_exported(
    kind: type[nn.Module], tmp_path: Path
) -> None:
    networks = networks_of(kind, tmp_path)
    first, second = heads_of(networks)
    values = networks.space.read([f"heads:{first}=1", f"heads:{second}=3"])
    networks.supernet.chosen = values
    alone = networks.alone(values)
    with torch.no_grad():
        shared, own = networks.supernet(*networks.tensors), alone.module(*networks.tensors)
    assert torch.allclose(shared, own, atol=1e-6)
    width = WIDTH // HEADS
    assert [alone.module.get_submodule(name).weight.shape[1] for name in (first, second)] == [width, 3 * width]
    layers = networks.supernet.anatomy.attentions[0].group.layers
    made = sum(alone.module.get_submodule(one).out_features for one in layers)
    assert made == 3 * width
    assert networks.workload(values) == workload_of(alone.module, networks.tensors, ROWS)
    assert networks.workload(values).macs < networks.workload(networks.space.largest).macs
    assert networks.work(values).macs < networks.work(networks.space.largest).macs
    timed_network(alone, {"x": pictures(ROWS)}, 1, "Search")  # Compares its export.


def test_what_is_left_is_what_the_whole_gives_if_nothing_reads_the_other_heads(tmp_path: Path) -> None:
    networks = networks_of(Library, tmp_path)
    (name, _), attention = heads_of(networks), networks.supernet.anatomy.attentions[0]
    kept = next(slot.ranks for slot in attention.group.slots if (slot.tensor, slot.axis) == (f"{name}.weight", 1)) < 2
    networks.supernet.chosen = networks.space.read([f"heads:{name}=2"])
    with torch.no_grad():
        fewer = networks.supernet(*networks.tensors)
        networks.model.module.get_submodule(name).weight *= kept
        networks.supernet.chosen = networks.space.largest
        assert torch.allclose(fewer, networks.supernet(*networks.tensors), atol=1e-5)


def test_the_most_important_heads_are_kept(tmp_path: Path) -> None:
    networks = networks_of(Apart, tmp_path)
    attention = networks.supernet.anatomy.attentions[0]
    module, total = networks.model.module, torch.zeros(HEADS)
    for slot in attention.group.slots:
        weight = module.get_parameter(slot.tensor).detach().square()
        total += (weight if slot.axis == 0 else weight.T).reshape(HEADS, -1).sum(1)
    ranks = attention.group.slots[0].ranks.reshape(HEADS, -1)[:, 0]
    assert torch.equal(ranks.argsort(), total.argsort(descending=True))


def test_heads_that_differ_in_more_than_weights_stay(tmp_path: Path) -> None:
    assert not heads_of(networks_of(Biased, tmp_path))


def test_heads_stay_if_they_are_not_to_be_searched(tmp_path: Path) -> None:
    wish = Wish(8, 0.25, heads=False, kernels=True, blocks=True, importance="magnitude")
    assert not heads_of(networks_of(Library, tmp_path, wish))


def test_feed_forward_layers_are_searched_beside_heads(tmp_path: Path) -> None:
    networks = networks_of(Library, tmp_path)
    widths = [one.layers for one in networks.space.dimensions if one.kind is Kind.WIDTH]
    assert any("linear1" in layer for layers in widths for layer in layers)


def test_the_products_of_an_attention_are_timed_with_each_number_of_heads(tmp_path: Path) -> None:
    networks = networks_of(Library, tmp_path)
    products = networks.supernet.anatomy.attentions[0].products
    assert networks.counts()[products, 0] == (tuple(range(1, HEADS + 1)), ())
    smallest = next(one for one in networks.work(networks.space.smallest).operators if one.layer == products)
    timed = networks.timed(smallest, 1)
    (made,) = timed.session.run(None, timed.feeds)
    assert made.shape == (1, 1, PATCHES, WIDTH // HEADS)
