"""What low-rank decomposition without training costs and wins: accuracy, size and speed, table by table.

    python -m benchmarks.decomposition --data usr/share/datasets/fashion-mnist kinds weighting chain products

`--data` is what Debian's `dataset-fashion-mnist` unpacks to (samples/README.md). 512 training pictures, without their
labels, are what the decomposition sees; accuracy is on all 10,000 test pictures. Speed is the ratio of median CPU times
of one thread at batch 1, original and candidate in turns. `products` trains a network of large matrix products first,
which takes about a minute.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.techniques.base import Optimized
from benchmarks.pruning import LARGEST_SHARE, SEEN, accuracy, pictures, speedup
from tests.agents.workshop import FIDELITY, SAMPLES, Workshop

HEAD = "| model | work removed | accuracy % | times smaller | times faster |\n|---|---|---|---|---|"
WIDTH = 1024
"""Of the hidden layers of the network of matrix products."""
SHARES = (0.4, 0.6)
FORMS = ("auto", "spatial", "channel", "tucker", "cp")


class Bench:
    """The pictures, and a place to apply techniques in."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.seen, self.labels_seen = pictures(data, "train")
        self.images, self.labels = pictures(data, "t10k")
        chosen = np.random.default_rng(0).permutation(len(self.seen))[: SEEN * LARGEST_SHARE]
        self.shop = Workshop(folder)
        self.data = self.shop.examples(image=self.seen[chosen])

    def apply(self, technique: str, model: Path, **parameters: Any) -> Optimized:
        return self.shop.apply(technique, model, self.data, FIDELITY, **parameters)

    def row(self, name: str, original: Path, made: Path, removed: float) -> str:
        ratio = original.stat().st_size / made.stat().st_size
        faster = speedup(original, made, self.images[:1].astype(np.float32))
        right = accuracy(made, self.images, self.labels)
        return f"| {name} | {removed:.1%} | {right:.2f} | {ratio:.2f} | {faster:.2f} |"

    def decomposed(self, name: str, original: Path, **parameters: Any) -> str:
        try:
            made = self.apply("onnx-decompose", original, **parameters)
        except TechniqueNotApplicable as error:
            return f"| {name} | refused: {error.context['reason'][:90]} | | | |"
        return self.row(name, original, made.artifact, float(made.result.evidence["macs_removed"]))


def kinds(bench: Bench, original: Path) -> Iterator[str]:
    """Each kind of factors beside the others, with nothing left alone for its time."""
    yield bench.row("original", original, original, 0.0)
    for share in SHARES:
        for form in FORMS:
            yield bench.decomposed(f"{form}, {share:.0%}", original, removed=share, form=form, timed=form == "auto")


def weighting(bench: Bench, original: Path) -> Iterator[str]:
    """Weighted by the inputs' covariance beside plain, at the same share of work, and fitted again."""
    for form in FORMS[1:4]:
        for share in (0.6, 0.75):
            same = {"removed": share, "form": form, "timed": False}
            yield bench.decomposed(f"{form}, plain, {share:.0%}", original, **same, weighted=False, refit=False)
            yield bench.decomposed(f"{form}, weighted, {share:.0%}", original, **same, refit=False)
            yield bench.decomposed(f"{form}, weighted and fitted, {share:.0%}", original, **same)


def chain(bench: Bench, original: Path) -> Iterator[str]:
    """Int8 alone, behind a decomposition, and behind pruning and a decomposition."""
    yield bench.row("int8", original, bench.apply("onnx-static-int8", original, reduce_range=True).artifact, 0.0)
    for pruned_share in (0.0, 0.5, 0.6):
        pruned = original
        if pruned_share:
            pruned = bench.apply("onnx-prune", original, macs_removed=pruned_share, multiple_of=16).artifact
            yield bench.row(f"pruned {pruned_share:.0%}", original, pruned, pruned_share)
        for share in (0.25, 0.4, 0.6):
            made = bench.apply("onnx-decompose", pruned, removed=share)
            removed = 1 - (1 - pruned_share) * (1 - float(made.result.evidence["macs_removed"]))
            name = f"pruned {pruned_share:.0%}, decomposed {share:.0%}"
            yield bench.row(name, original, made.artifact, removed)
            small = bench.apply("onnx-static-int8", made.artifact, reduce_range=True)
            yield bench.row(f"{name}, int8", original, small.artifact, removed)


def products(bench: Bench, original: Path) -> Iterator[str]:
    """A network of large matrix products, decomposed by work and by bytes."""
    model = trained_products(bench, original.with_name("products.onnx"))
    yield bench.row("products", model, model, 0.0)
    for share in (0.3, 0.5, 0.7):
        yield bench.decomposed(f"plain, {share:.0%}", model, removed=share, weighted=False, refit=False)
        yield bench.decomposed(f"weighted, {share:.0%}", model, removed=share, refit=False)
        yield bench.decomposed(f"weighted and fitted, {share:.0%}", model, removed=share)


def trained_products(bench: Bench, path: Path) -> Path:
    """784 numbers through three hidden layers, trained for three passes over the training pictures."""
    torch.manual_seed(0)
    sizes = (784, WIDTH, WIDTH, WIDTH)
    hidden = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
    net = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    images = torch.from_numpy(bench.seen.copy()).float() / 255
    labels = torch.from_numpy(bench.labels_seen.copy()).long()
    for passed in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.3**passed
        for batch in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
    scaled = nn.Sequential(_Scaled(), net).eval()
    torch.onnx.export(
        scaled, (torch.zeros(2, 1, 28, 28),), str(path), input_names=["image"], output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N")},), external_data=False, verbose=False,
    )  # fmt: skip
    return path


class _Scaled(nn.Module):
    """Pixels from 0 to 255 become numbers from 0 to 1."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image / 255


TABLES: dict[str, Callable[[Bench, Path], Iterator[str]]] = {
    "kinds": kinds,
    "weighting": weighting,
    "chain": chain,
    "products": products,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="fashion_resnet", choices=("fashion_resnet", "fashion_mobilenet"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(arguments.data, folder)
        original = folder / "original.onnx"
        original.write_bytes((SAMPLES / f"{arguments.model}.onnx").read_bytes())
        for table in arguments.tables:
            print(f"\n{table}\n{HEAD}", flush=True)
            for line in TABLES[table](bench, original):
                print(line, flush=True)


if __name__ == "__main__":
    main()
