"""How small and fast the sample ResNet becomes when it is pruned, trained again, exported and quantized.

    python benchmarks/prune_and_recover.py --data FOLDER --minutes 30 --removed 0.98 --kernel-side 3

The bar: within 30 minutes at least 20 times faster and 30 times smaller at a loss of at most one point. Every link is
applied by its technique, as a session does it. The training pictures are Fashion-MNIST's own, of which a share is set
apart to train on; accuracy is that of its 10,000 test pictures, which no technique sees. Speed is the median CPU time
of one thread on one picture in ONNX Runtime, the original's export and the result in turns; size is the file's.
Memory: 2 GB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]

import train  # noqa: E402 - the samples' own script.

from apps.agents.contracts.dataset_spec import DatasetSpec  # noqa: E402
from apps.agents.measuring.protocol import ModelFile  # noqa: E402
from benchmarks.links import Shop  # noqa: E402

FASTER, SMALLER, POINTS = 20.0, 30.0, 1.0
"""The bar."""
ROUNDS = 300
SEED = 0


def original_network(pictures: torch.Tensor) -> nn.Module:
    """The sample's network with batch norms again, which its export has folded into convolutions.

    Their statistics are those of `pictures`; the function is the export's.
    """
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(ROOT / "samples" / "fashion_resnet.onnx").graph.initializer
    }
    network = train.resnet().eval()
    pairs = list(_convolutions_with_norms(network))
    for name, convolution, norm in pairs:
        convolution.weight.data = weights[f"{name}.weight"]
        norm.bias.data = weights[f"{name}.weight_bias"]
        norm.running_var.fill_(1 - norm.eps)
    network.head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    _take_statistics(network, pairs, pictures)
    return network


def _convolutions_with_norms(network: nn.Module) -> list[tuple[str, Any, Any]]:
    parts = dict(network.named_modules())
    found = []
    for name, part in parts.items():
        if isinstance(part, nn.Conv2d):
            parent, _, place = name.rpartition(".")
            found.append((name, part, parts[f"{parent}.{int(place) + 1}"]))
    return found


def _take_statistics(network: nn.Module, pairs: list[tuple[str, Any, Any]], pictures: torch.Tensor) -> None:
    """Give every norm the statistics of what it gets, and a scale and a shift that undo them."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        convolution.register_forward_hook(lambda _part, _given, output, name=name: seen.__setitem__(name, output))
        for name, convolution, _ in pairs
    ]
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    for name, _, norm in pairs:
        mean, variance = seen[name].mean((0, 2, 3)), seen[name].var((0, 2, 3))
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.data = (variance + norm.eps).sqrt()
        norm.bias.data = norm.bias.data + mean


def exported(network: nn.Module, path: Path) -> Path:
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


def session_of(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def accuracy(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """In per cent."""
    session, right = session_of(model), 0
    for start in range(0, len(images), 250):
        pixels = images[start : start + 250].astype(np.float32)
        right += int((session.run(None, {"image": pixels})[0].argmax(1) == labels[start : start + 250]).sum())
    return 100 * right / len(images)


def faster(original: Path, candidate: Path, image: np.ndarray) -> float:
    """Median CPU time of the original over that of the candidate, in turns."""
    sessions = [session_of(original), session_of(candidate)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for session, taken in zip(sessions, times, strict=True):
            session.run(None, {"image": image})  # Fills the caches.
            before = time.thread_time()
            session.run(None, {"image": image})
            taken.append(time.thread_time() - before)
    return statistics.median(times[0]) / statistics.median(times[1])


def report(shop: Shop, whole: Path, results: Mapping[str, Path], test: tuple[np.ndarray, np.ndarray]) -> bool:
    """Print a line for each result; whether the last one meets the bar."""
    images, labels = test
    base, met = accuracy(whole, images, labels), False
    print(f"original: {shop.original.path.stat().st_size:,} bytes, {base:.2f} %")
    for name, path in results.items():
        smaller = shop.original.path.stat().st_size / path.stat().st_size
        gain, found = faster(whole, path, images[:1].astype(np.float32)), accuracy(path, images, labels)
        met = gain >= FASTER and smaller >= SMALLER and base - found <= POINTS
        print(f"{name}: {smaller:.1f} times smaller, {gain:.1f} times faster, {found:.2f} % ({found - base:+.2f})")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--minutes", type=float, default=30.0, help="for the training (default: 30)")
    parser.add_argument("--removed", type=float, default=0.95, help="share of the multiply-accumulates (0.95)")
    parser.add_argument("--training-share", type=float, default=0.7, help="of the training pictures (0.7)")
    parser.add_argument("--pictures", type=int, default=60_000, help="how many training pictures (60,000)")
    parser.add_argument("--distill", type=float, default=0.5)
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--kernel-side", type=int, default=0, help="what larger kernels are trimmed to (as they are)")
    parser.add_argument("--learning-rate", type=float, default=0.003)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = (part[: given.pictures].numpy() for part in train.read_split(given.data, "train"))
    test = tuple(part.numpy() for part in train.read_split(given.data, "t10k"))
    with tempfile.TemporaryDirectory(prefix="prune-") as name:
        folder = Path(name)
        np.savez(folder / "data.npz", image=images, y=labels)
        network = original_network(torch.from_numpy(images[:1000].astype(np.float32)))
        spec = DatasetSpec(kind="npz", task="classification", training_share=given.training_share)
        original = exported(network, folder / "original.pt2")
        shop = Shop(folder, folder / "data.npz", spec, ModelFile(format="torch-export", path=original))
        whole = shop.apply("onnx-export", original, "torch-export")
        manner = {"macs_removed": given.removed, "round_to": given.round_to, "kernel_side": given.kernel_side}
        cut = shop.apply("torch-prune", original, "torch-export", **manner)
        learned = shop.apply(
            "torch-recover",
            cut,
            "torch-export",
            minutes=given.minutes,
            distill=given.distill,
            learning_rate=given.learning_rate,
        )
        results = {
            "cut": shop.apply("onnx-export", cut, "torch-export"),
            "cut and trained": shop.apply("onnx-export", learned, "torch-export"),
        }
        results["cut, trained, 8 bits"] = shop.apply("onnx-static-int8", results["cut and trained"], "onnx")
        met = report(shop, whole, results, (test[0], test[1]))
        print("The bar is met." if met else "The bar is not met.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
