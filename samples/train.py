"""Train the two sample classifiers on Fashion-MNIST and export them to ONNX, with test images beside them.

    python samples/train.py --data /usr/share/datasets/fashion-mnist

`--data` is a folder with the four `*-ubyte.gz` files of Fashion-MNIST (MIT licence; Debian's `dataset-fashion-mnist`
installs them). Everything is seeded; the digests in README.md are those of the files in this folder, and a run on
another machine gives other bytes and the same accuracy within half a point.

The exported models take raw pixels: `image`, float32 [batch, 1, 28, 28], 0 to 255. They are trained on pixels / 255,
and that factor is folded into the first convolution at export, so nothing has to be scaled outside the model.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 20
OPSET = 21
SIDE = 28
CLASSES = 10
PIXEL_SCALE = 1 / 255
TEST_EXAMPLES = 4000
"""The first of the test images are shipped; README's accuracies are on them and on all 10,000."""


# --- data ------------------------------------------------------------------------------------------------------------


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of bytes as an array: its magic number ends in the number of axes, then come their lengths."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=axes, offset=4).astype(int)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_split(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Images (uint8 [N, 1, 28, 28]) and labels (int64 [N]) of `train` or `t10k`."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return torch.tensor(images).unsqueeze(1), torch.tensor(labels, dtype=torch.int64)


def batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled, augmented batches of one epoch, as floats from 0 to 255. The last, incomplete batch is left out."""
    order = torch.randperm(len(images))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield augment(images[chosen].float()), labels[chosen]


def augment(images: Tensor, pad: int = 2) -> Tensor:
    """Shift the whole batch by up to `pad` pixels and mirror half of its images."""
    mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    top, left = torch.randint(0, 2 * pad + 1, (2,)).tolist()
    return functional.pad(images, (pad, pad, pad, pad))[:, :, top : top + SIDE, left : left + SIDE]


# --- models ----------------------------------------------------------------------------------------------------------


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the side (divided by `stride`), with its batch norm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Residual(nn.Module):
    """Two 5×5 convolutions around a shortcut (after He et al., 2016, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(inputs, outputs, 5, stride), nn.ReLU(), *convolution(outputs, outputs, 5)
        )
        self.shortcut = nn.Sequential(*convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """Widen, filter each channel alone, narrow (Sandler et al., 2018, arXiv:1801.04381)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 4) -> None:
        super().__init__()
        wide = inputs * expansion
        self.body = nn.Sequential(
            *convolution(inputs, wide, 1),
            nn.ReLU6(),
            *convolution(wide, wide, 3, stride, groups=wide),
            nn.ReLU6(),
            *convolution(wide, outputs, 1),
        )
        self.same = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        narrow: Tensor = self.body(x)
        return x + narrow if self.same else narrow


class Classifier(nn.Module):
    """Stem, blocks, average over the plane, one linear layer: pixels [batch, 1, 28, 28] in, logits [batch, 10] out."""

    def __init__(self, stem: list[nn.Module], blocks: list[nn.Module], channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*stem)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        planes = self.blocks(self.stem(image))
        # A pool of fixed size, because ONNX Runtime has an int8 AveragePool and no int8 ReduceMean.
        logits: Tensor = self.head(functional.avg_pool2d(planes, SIDE // 4).flatten(1))
        return logits

    def take_raw_pixels(self) -> None:
        """Fold the factor 1/255 into the first convolution: exact, as its zero padding stays zero."""
        with torch.no_grad():
            next(self.stem.parameters()).mul_(PIXEL_SCALE)


def resnet() -> Classifier:
    """1.2 M parameters, nearly all in 5×5 convolutions of 64 and 128 channels."""
    blocks: list[nn.Module] = [
        Residual(32, 64, 1),
        Residual(64, 128, 2),
        *convolution(128, 128, 5),
        nn.ReLU(),
    ]
    return Classifier([*convolution(1, 32, 3, 2), nn.ReLU()], blocks, 128)


def mobilenet() -> Classifier:
    """0.2 M parameters, in 1×1 convolutions around depthwise ones."""
    blocks: list[nn.Module] = [
        InvertedResidual(24, 48, 1),
        InvertedResidual(48, 48, 1),
        InvertedResidual(48, 96, 2),
        InvertedResidual(96, 96, 1),
        InvertedResidual(96, 96, 1),
        *convolution(96, 256, 1),
        nn.ReLU6(),
    ]
    return Classifier([*convolution(1, 24, 3, 2), nn.ReLU6()], blocks, 256)


# --- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How one sample is made. Half-precision forward passes are for the wide network; depthwise ones gain nothing."""

    name: str
    build: Callable[[], Classifier]
    epochs: int
    peak_rate: float
    half_precision: bool
    batch_size: int = 128


RECIPES = (
    Recipe("fashion_resnet", resnet, epochs=7, peak_rate=0.2, half_precision=True),
    Recipe("fashion_mobilenet", mobilenet, epochs=1, peak_rate=0.3, half_precision=False),
)


def train(recipe: Recipe, images: Tensor, labels: Tensor) -> Classifier:
    """Train on pixels / 255 with Nesterov momentum and a one-cycle rate (Smith, 2018, arXiv:1803.09820)."""
    torch.manual_seed(SEED)
    model = recipe.build().to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = recipe.epochs * (len(images) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, total_steps=steps, pct_start=0.25)
    for epoch in range(1, recipe.epochs + 1):
        started, total = time.monotonic(), 0.0
        for pixels, wanted in batches(images, labels, recipe.batch_size):
            pixels = (pixels * PIXEL_SCALE).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half_precision):
                logits = model(pixels)
            loss = functional.cross_entropy(logits.float(), wanted, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total * recipe.batch_size / len(images)
        print(f"{recipe.name} epoch {epoch}: loss {mean:.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return model.eval()


# --- files -----------------------------------------------------------------------------------------------------------


def export(model: Classifier, path: Path) -> None:
    """Write the model as ONNX with batch norms folded, a dynamic axis `batch`, and nodes named after their weights.

    The exporter's metadata goes: it holds stack traces with the paths of the machine that trained the model.
    """
    program = torch.onnx.export(
        model.to(memory_format=torch.contiguous_format),
        (torch.zeros(2, 1, SIDE, SIDE),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    exported = program.model_proto
    del exported.metadata_props[:]
    exported.graph.name = path.stem
    exported.graph.ClearField("metadata_props")
    for value in (*exported.graph.input, *exported.graph.output, *exported.graph.value_info):
        value.ClearField("metadata_props")
    weights = {tensor.name for tensor in exported.graph.initializer}
    for tensor in exported.graph.initializer:
        tensor.ClearField("metadata_props")
    for node in exported.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        weight = next((name for name in node.input if name in weights and name.endswith(".weight")), None)
        node.name = weight.removesuffix(".weight") if weight else node.name.removeprefix("node_")
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def accuracy(path: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 accuracy of the exported file in per cent, by ONNX Runtime, from raw pixels."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = 0
    for start in range(0, len(images), 500):
        pixels = images[start : start + 500].astype(np.float32)
        right += int((session.run(None, {"image": pixels})[0].argmax(1) == labels[start : start + 500]).sum())
    return 100 * right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the files go (default: here)")
    parser.add_argument("--only", choices=[recipe.name for recipe in RECIPES], help="make one of the models")
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)

    images, labels = read_split(arguments.data, "train")
    test_images, test_labels = (tensor.numpy() for tensor in read_split(arguments.data, "t10k"))
    shipped = arguments.out / "fashion_mnist_test.npz"
    np.savez_compressed(shipped, image=test_images[:TEST_EXAMPLES], y=test_labels[:TEST_EXAMPLES])
    made = [shipped]
    for recipe in RECIPES:
        if arguments.only in (None, recipe.name):
            model = train(recipe, images, labels)
            model.take_raw_pixels()
            path = arguments.out / f"{recipe.name}.onnx"
            export(model, path)
            few = accuracy(path, test_images[:TEST_EXAMPLES], test_labels[:TEST_EXAMPLES])
            print(
                f"{path.name}: {few:.2f} % of {TEST_EXAMPLES}, {accuracy(path, test_images, test_labels):.2f} % of all"
            )
            made.append(path)
    for path in made:
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
