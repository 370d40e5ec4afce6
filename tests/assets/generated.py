"""Models made on the spot for what no published model shows so plainly. No download, no training, milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SEED = 7
CHANNELS = 64
SIDE = 32
LAYERS = 8
KERNEL = 5
CLASSES = 10
EXAMPLES = 400
WRONG_LABELS = 0.1


def slow_when_quantized(path: Path) -> Path:
    """Write a classifier to `path` whose every int8 variant is slower than it, and return labelled data for it.

    `image`, float32 [batch, 3, 32, 32] → `logits` [batch, 10]. It is a chain of depthwise 5×5 convolutions, which
    ONNX Runtime runs well in float. Measured at one thread and batch 1 with onnxruntime 1.32 on AVX512-VNNI, as a
    multiple of the float model's speed: static u8/s8 0.6, s8/s8 0.6, u8/u8 0.25, dynamic u8 0.08, dynamic s8 0.02. All
    keep its accuracy and are about half its size.

    The data, `path` with the suffix `.npz`, holds `image` and `y`: the model's own predictions, a tenth of them
    changed.
    """
    generator = np.random.default_rng(SEED)
    images, kinds = _images(generator)
    weights = _weights(generator)
    features = _run(_classifier(weights), images, "features")
    weights["head.weight"], weights["head.bias"] = _head(features, kinds)
    model = _classifier(weights)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)

    labels = _run(model, images, "logits").argmax(1)
    changed = generator.random(EXAMPLES) < WRONG_LABELS
    labels[changed] = generator.integers(0, CLASSES, changed.sum())
    data = path.with_suffix(".npz")
    np.savez_compressed(data, image=images, y=labels.astype(np.int64))
    return data


def _images(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of ten kinds, each with its own colour and roughness, and the kind of each."""
    colours, roughness = generator.normal(size=(CLASSES, 3)), generator.uniform(0.2, 1.5, CLASSES)
    kinds = generator.integers(0, CLASSES, EXAMPLES)
    coarse = generator.normal(size=(EXAMPLES, 3, 8, 8)).repeat(SIDE // 8, axis=2).repeat(SIDE // 8, axis=3)
    images = colours[kinds][:, :, None, None] + roughness[kinds][:, None, None, None] * coarse
    return images.astype(np.float32), kinds


def _weights(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Filters near the identity, so that depth does not wear the signal down; the head is set from the features."""
    identity = np.zeros((KERNEL, KERNEL))
    identity[KERNEL // 2, KERNEL // 2] = 1
    weights = {"stem.weight": generator.normal(size=(CHANNELS, 3, 1, 1))}
    for layer in range(LAYERS):
        noise = generator.normal(scale=0.03, size=(CHANNELS, 1, KERNEL, KERNEL))
        weights[f"depthwise{layer}.weight"] = identity + noise
    weights["head.weight"], weights["head.bias"] = np.zeros((CHANNELS, CLASSES)), np.zeros(CLASSES)
    return {name: array.astype(np.float32) for name, array in weights.items()}


def _head(features: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression of the kind on the features: wide margins, which survive the rounding to 8 bits."""
    mean, spread = features.mean(0), features.std(0) + 1e-3
    standard = (features - mean) / spread
    wanted = np.eye(CLASSES)[kinds]
    weight = np.linalg.solve(standard.T @ standard + len(kinds) * np.eye(CHANNELS) / 10, standard.T @ wanted)
    weight /= spread[:, None]
    return weight.astype(np.float32), (wanted.mean(0) - mean @ weight).astype(np.float32)


def _classifier(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    nodes = [helper.make_node("Conv", ["image", "stem.weight"], ["stem"], name="stem")]
    value = "stem"
    for layer in range(LAYERS):
        name = f"depthwise{layer}"
        inputs = [value, f"{name}.weight"]
        nodes.append(helper.make_node("Conv", inputs, [name], name, group=CHANNELS, pads=[KERNEL // 2] * 4))
        value = f"relu{layer}"
        nodes.append(helper.make_node("Relu", [name], [value], value))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["features"], "flatten"),
        helper.make_node("Gemm", ["features", "head.weight", "head.bias"], ["logits"], "head"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "slow_when_quantized", [image], [logits], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _run(model: onnx.ModelProto, images: np.ndarray, output: str) -> np.ndarray:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if output not in {value.name for value in shown.graph.output}:
        shown.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run([output], {"image": images})[0]
    return result
