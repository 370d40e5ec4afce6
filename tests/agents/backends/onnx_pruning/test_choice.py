"""Which channels go, and how the asked share of the work is shared out among layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apps.agents.backends.onnx.flow import Flow
from apps.agents.backends.onnx.pruning.measuring import OnnxMeasurer
from apps.agents.techniques.channel_pruning.allocation import by_sensitivity, enough, steps_of, uniform
from apps.agents.techniques.channel_pruning.plan import sensitivities
from apps.agents.techniques.channel_pruning.selection import rank
from tests.agents.backends.onnx_pruning.nets import Net, dissected, pictures

EXAMPLES = pictures(96)
SEEN = Flow(lambda count: ({"x": EXAMPLES[start : start + 16]} for start in range(0, count, 16)), 96)


@pytest.mark.parametrize(("width", "multiple", "steps"), [
    (64, 16, [64, 48, 32, 16]),
    (24, 16, [24, 16]),
    (128, 8, [128, *range(120, 15, -8)]),
    (10, 16, [10]),
    (4, 1, [4, 3, 2, 1]),
])  # fmt: skip
def test_widths_are_multiples_down_to_a_floor(width: int, multiple: int, steps: list[int]):
    assert steps_of(width, multiple) == steps


def test_reconstruction_keeps_one_of_two_channels_that_say_the_same(tmp_path: Path):
    net = Net()
    wide = net.conv("wide", "x", 6)
    net.weights["wide.w"][5] = 2 * net.weights["wide.w"][0]
    anatomy = dissected(net.model(net.conv("last", wide, 5)), tmp_path)
    group = anatomy.cuttable[0]
    read = OnnxMeasurer(anatomy.trace, SEEN).readings([group])[group.name]
    clever, plain = (rank(group, read, [], name) for name in ("reconstruction", "variance"))
    assert set(clever.order[:5]) >= {1, 2, 3, 4}
    assert clever.loss[5] < 0.01 < plain.loss[4]
    assert clever.loss[0] == pytest.approx(1.0)
    assert clever.loss[-1] == pytest.approx(0.0, abs=1e-6)
    assert (np.diff(clever.loss) <= 0).all()


def test_the_norm_of_the_weights_ranks_a_channel_of_small_weights_last(tmp_path: Path):
    net = Net()
    wide = net.conv("wide", "x", 6)
    net.weights["wide.w"][2] *= 1e-3
    anatomy = dissected(net.model(net.conv("last", wide, 5)), tmp_path)
    net_group, measurer = anatomy.cuttable[0], OnnxMeasurer(anatomy.trace, SEEN)
    read = measurer.readings([net_group])[net_group.name]
    assert rank(net_group, read, measurer.made(net_group), "l2").order[-1] == 2


def test_a_layer_that_the_output_hardly_needs_is_cut_first(tmp_path: Path):
    net = Net()
    main, aside = net.conv("main", "x", 16), net.conv("aside", "x", 16)
    weak = net.conv("faint", aside, 6)
    net.weights["faint.w"] *= 0.01
    total = net.add("Add", "sum", [net.conv("strong", main, 6), weak])
    anatomy = dissected(net.model(net.conv("last", total, 5)), tmp_path)
    groups = [one for one in anatomy.cuttable if one.name in ("main", "aside")]
    measurer = OnnxMeasurer(anatomy.trace, SEEN)
    read = measurer.readings(groups)
    rankings = {one.name: rank(one, read[one.name], [], "reconstruction") for one in groups}
    found = sensitivities(groups, measurer, read, rankings, lambda share, what: None)
    assert found["main"] > 100 * found["aside"]
    cut = by_sensitivity(groups, anatomy.work, rankings, found, 0.2, 4)
    assert cut["aside"] < 16 == cut["main"]
    assert enough(anatomy.work, {**anatomy.work.widths, **cut}, 0.2)
    alike = uniform(groups, anatomy.work, 0.2, 4)
    assert alike["main"] == alike["aside"] < 16
