"""What EfficientNet-lite0 loses on CIFAR-10 when channels are removed and it is trained again.

    python -m benchmarks.prune_efficientnet --side 64 --fine-tune 9 --minutes 9

The bar: 30 % of the multiply-accumulates removed at a loss of at most 1.5 points. The published network gets a new head
for ten classes and is trained as a whole: that is the original. It is cut and trained again as an ONNX file
(`onnx-prune`, which fits the remaining layers again by least squares, then `onnx-recover`) or, with `--way program`, as
a PyTorch program (`torch-prune`, `torch-recover`). Every link is applied by its technique, as a session does it.
Training sees shares of the first 10,000 training pictures; accuracy is that of all 10,000 test pictures, which no
technique sees. The network enlarges the pictures itself, to `--side` pixels. Speed is the median CPU time of one thread
on one picture in ONNX Runtime, original and result in turns. Memory: 3 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.measuring.protocol import ModelFile
from benchmarks.links import Shop
from benchmarks.prune_and_recover import accuracy, faster
from tests.assets.cifar10 import CLASSES, MEAN, SPREAD
from tests.assets.models import cifar10_pictures, efficientnet_lite0

REMOVED, POINTS = 0.3, 1.5
"""The bar."""
FORMAT = "torch-export"
SMALL = 32
HEAD = ("_fc.weight", "_fc.bias")


class Enlarging(nn.Module):
    """The published network behind an enlargement of its pictures: float32 [B, 3, 32, 32], 0 to 255 → [B, 10]."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, image: Tensor) -> Tensor:
        large = nn.functional.interpolate(image, (self.side, self.side), mode="bilinear", align_corners=False)
        return self.network((large - MEAN) / SPREAD)


def published(side: int) -> nn.Module:
    """The published weights, with a head that knows nothing yet."""
    asset = efficientnet_lite0()
    sys.path.insert(0, str(asset.library))
    from efficientnet_lite_pytorch import EfficientNet  # What is fetched is on no path before.

    network = EfficientNet.from_name("efficientnet-lite0", image_size=side, num_classes=len(CLASSES))
    weights = torch.load(asset.weights, weights_only=True)
    network.load_state_dict({name: value for name, value in weights.items() if name not in HEAD}, strict=False)
    return Enlarging(network, side).eval()


def exported(network: nn.Module, path: Path) -> Path:
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (torch.zeros(2, 3, SMALL, SMALL),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def pictures(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Float32 [10000, 3, 32, 32] and the labels."""
    data = np.load(cifar10_pictures(part, input_name="image"))
    return np.ascontiguousarray(data["image"].transpose(0, 3, 1, 2)), data["y"]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=96, help="of the enlarged pictures, in pixels (96)")
    parser.add_argument("--fine-tune", type=float, default=30.0, help="minutes to train the original (30)")
    parser.add_argument("--minutes", type=float, default=20.0, help="for the training after the cut (20)")
    parser.add_argument("--removed", type=float, default=REMOVED, help="share of the multiply-accumulates (0.3)")
    parser.add_argument("--training-share", type=float, default=0.7, help="of the training pictures (0.7)")
    parser.add_argument("--learning-rate", type=float, default=0.0005)
    parser.add_argument("--threads", type=int, default=2, help="to train with (2)")
    parser.add_argument("--way", choices=("onnx", "program"), default="onnx")
    return parser.parse_args()


def main() -> int:
    given = parsed()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(prefix="efficientnet-") as name:
        folder = Path(name)
        images, labels = pictures("training")
        np.savez(folder / "data.npz", image=images, y=labels)
        spec = DatasetSpec(kind="npz", task="classification", training_share=given.training_share)
        start = exported(published(given.side), folder / "published.pt2")
        training = {"mirror": True, "shift": 2, "learning_rate": given.learning_rate, "threads": given.threads}
        data = folder / "data.npz"
        shop = Shop(folder, data, spec, ModelFile(format=FORMAT, path=start))
        program = shop.apply("torch-recover", start, FORMAT, minutes=given.fine_tune, distill=0.0, **training)
        original = shop.apply("onnx-export", program, FORMAT)
        if given.way == "onnx":
            shop = Shop(folder, data, spec, ModelFile(format="onnx", path=original))
            cut = shop.apply("onnx-prune", original, "onnx", macs_removed=given.removed)
            learned = shop.apply("onnx-recover", cut, "onnx", minutes=given.minutes, **training)
        else:
            shop = Shop(folder, data, spec, ModelFile(format=FORMAT, path=program))
            pruned = shop.apply("torch-prune", program, FORMAT, macs_removed=given.removed)
            recovered = shop.apply("torch-recover", pruned, FORMAT, minutes=given.minutes, **training)
            cut, learned = (shop.apply("onnx-export", one, FORMAT) for one in (pruned, recovered))
        return 0 if report({"original": original, "cut": cut, "cut and trained": learned}) else 1


def report(files: dict[str, Path]) -> bool:
    """Print a row for each file; whether the last one is within the bar. The first is the original."""
    images, labels = pictures("test")
    whole = next(iter(files.values()))
    found = {name: accuracy(path, images, labels) for name, path in files.items()}
    print("| model | accuracy % | times smaller | times faster |\n|---|---|---|---|")
    for name, path in files.items():
        smaller, gain = whole.stat().st_size / path.stat().st_size, faster(whole, path, images[:1])
        print(f"| {name} | {found[name]:.2f} | {smaller:.2f} | {gain:.2f} |", flush=True)
    first, *_, last = found.values()
    print(f"{first - last:.2f} points lost; the bar is {'met' if first - last <= POINTS else 'not met'}.")
    return first - last <= POINTS


if __name__ == "__main__":
    sys.exit(main())
