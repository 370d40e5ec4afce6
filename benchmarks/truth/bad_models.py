"""Models that nobody should be handed: each is fast or small, or says so, and is broken in one way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from apps.agents.contracts.criteria import Target
from apps.agents.evaluation.metrics.comparing import Array
from benchmarks.truth.material import Material

COLLAPSED_CLASS = 6
"""Shirts, which are never told any more."""
LOST_POINTS, NEAR = 2.0, 0.15
HALVINGS = 12
SLOWER = 0.2
"""Of the original's time, that a candidate of its weights takes beyond."""
WIDTH, PROBED_LINKS, TIMED_RUNS = 256, 32, 150
Change = Callable[[onnx.ModelProto], None]


def bad_models(material: Material) -> Mapping[str, Path]:
    """Each file by what is wrong with it."""
    fast, original = material.int8, material.original
    return {
        "its outputs are NaN": _changed(material, fast, partial(_by_class, operator="Mul", neutral=1, value=math.nan)),
        "the weights of its largest layer are shuffled": _changed(material, fast, _shuffle),
        "one class is never told": _changed(material, fast, partial(_by_class, operator="Add", neutral=0, value=-1e4)),
        "it loses 2 points": _noisy(material),
        "it is a fifth slower": _slower(material),
        "it is the original, and 1.1 times as fast is asked": _changed(material, original, _rename),
    }


def _changed(material: Material, path: Path, change: Change) -> Path:
    model = onnx.load(path)
    change(model)
    changed = material.folder() / "model.onnx"
    onnx.save(model, changed)
    return changed


def _rename(model: onnx.ModelProto) -> None:
    model.producer_name = "a candidate"


# --- wrong outputs ---------------------------------------------------------------------------------------------------


def _by_class(model: onnx.ModelProto, operator: str, neutral: float, value: float) -> None:
    """The scores of one class are changed, those of all others are not."""
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    change = np.full(classes, neutral, np.float32)
    change[COLLAPSED_CLASS] = value
    _behind(model, [helper.make_node(operator, ["scores_before", "change"], ["scores"])], {"change": change})


def _behind(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Array]) -> None:
    """Append `nodes`, which make `scores` of `scores_before`, the model's own output."""
    names = {"scores": model.graph.output[0].name, "scores_before": f"{model.graph.output[0].name}_before"}
    for node in model.graph.node:
        node.output[:] = [names["scores_before"] if name == names["scores"] else name for name in node.output]
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        model.graph.node.append(node)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())


# --- wrong weights ---------------------------------------------------------------------------------------------------


def _kernels(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The integer weights of convolutions."""
    return (one for one in model.graph.initializer if len(one.dims) == 4 and one.data_type == onnx.TensorProto.INT8)


def _shuffle(model: onnx.ModelProto) -> None:
    largest = max(_kernels(model), key=lambda one: math.prod(one.dims))
    weights = numpy_helper.to_array(largest)
    shuffled = np.random.default_rng(0).permutation(weights.ravel()).reshape(weights.shape)
    largest.CopyFrom(numpy_helper.from_array(shuffled, largest.name))


def _disturb(model: onnx.ModelProto, strength: float) -> None:
    """Noise on all kernels, of so many of their standard deviations."""
    random = np.random.default_rng(0)
    for kernel in _kernels(model):
        weights = numpy_helper.to_array(kernel).astype(np.float64)
        noisy = weights + random.normal(0, strength * weights.std(), weights.shape)
        kernel.CopyFrom(numpy_helper.from_array(np.clip(np.round(noisy), -128, 127).astype(np.int8), kernel.name))


def _noisy(material: Material) -> Path:
    """Noise of the strength that loses `LOST_POINTS` of all examples, found by halving. Raises where none does."""
    weak, strong = 0.0, 1.0
    for _ in range(HALVINGS):
        strength = (weak + strong) / 2
        path = _changed(material, material.int8, partial(_disturb, strength=strength))
        off = material.lost_points(path) - LOST_POINTS
        if abs(off) <= NEAR:
            return path
        weak, strong = (weak, strength) if off > 0 else (strength, strong)
    raise RuntimeError(f"no noise loses {LOST_POINTS} points: the last of strength {strength:.3f} is {off:+.2f} off")


# --- more work -------------------------------------------------------------------------------------------------------


def _slower(material: Material) -> Path:
    """The original with products of matrices beside it that take a fifth of its time and change nothing."""
    plain = _cpu_ms(material, material.original)
    none, some = (_cpu_ms(material, _longer(material, links)) for links in (0, PROBED_LINKS))
    each = max((some - none) / PROBED_LINKS, 1e-4)
    return _longer(material, max(0, math.ceil((plain * (1 + SLOWER) - none) / each)))


def _longer(material: Material, links: int) -> Path:
    return _changed(material, material.original, partial(_burden, links=links))


def _burden(model: onnx.ModelProto, links: int) -> None:
    image = model.graph.input[0]
    pixels = math.prod(dim.dim_value for dim in image.type.tensor_type.shape.dim[1:])
    random = np.random.default_rng(0)
    constants = {
        "row": np.array([-1, pixels]),
        "first": random.normal(0, 1 / pixels, (pixels, WIDTH)).astype(np.float32),
        "link": random.normal(0, 1 / WIDTH, (WIDTH, WIDTH)).astype(np.float32),
        "nothing": np.zeros((WIDTH, 1), np.float32),
    }
    nodes = [
        helper.make_node("Reshape", [image.name, "row"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "first"], ["chain0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"chain{at}", "link"], [f"chain{at + 1}"]) for at in range(links)]
    nodes += [
        helper.make_node("MatMul", [f"chain{links}", "nothing"], ["zero"]),
        helper.make_node("Add", ["scores_before", "zero"], ["scores"]),
    ]
    _behind(model, nodes, constants)


def _cpu_ms(material: Material, path: Path) -> float:
    """Median CPU time of one run, which other programs hardly move."""
    run, feeds = material.engine(path).session(Target()), material.dataset(0).first(1)
    times = []
    for _ in range(TIMED_RUNS):
        start = time.process_time_ns()
        run(feeds)
        times.append((time.process_time_ns() - start) / 1e6)
    return float(np.median(times[TIMED_RUNS // 3 :]))
