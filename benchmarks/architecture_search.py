"""Whether a searched architecture beats uniform width scaling of the same network, at the same time for training.

    python benchmarks/architecture_search.py --data FOLDER --minutes 15 --seeds 3

The bar: for every seed the network found is at least as accurate as the uniform one, and at least as fast. Both start
from the sample ResNet. The search gets its minutes for everything that it does: its table, its supernet, its trials and
the training of the network found. The uniform network has every width cut alike (`torch-prune`, local) until it takes
about as long as the network found, not less, and then all of these minutes to train (`torch-recover`). For comparison
it is also trained for a quarter of them, as long as the network found is. Training pictures are Fashion-MNIST's own;
accuracy is that of its 10,000 test pictures, which no technique sees. Latency is the CPU time of one thread on one
picture in ONNX Runtime, in turns with a reference. Memory: 2 GB. It takes 2.3 times the minutes for each seed; a short
form is `--minutes 2 --seeds 1`. `--table` only measures the error of the latency table, and how well a second timing of
the same sub-networks agrees with the first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]

import train  # noqa: E402 - the samples' own script.

from apps.agents.backends.torch.architecture.agent import TorchArchitectureSearch  # noqa: E402
from apps.agents.backends.torch.architecture.timing import Stopwatch, Timed, opened  # noqa: E402
from apps.agents.backends.torch.loading import load_model  # noqa: E402
from apps.agents.contracts.dataset_spec import DatasetSpec  # noqa: E402
from apps.agents.datasets.loading import load_dataset  # noqa: E402
from apps.agents.measuring.machine import usable_cores  # noqa: E402
from apps.agents.measuring.protocol import ModelFile  # noqa: E402
from apps.agents.techniques.architecture.search import FINALISTS, SUPERNET, TRIALS, Asked, Search  # noqa: E402
from apps.agents.techniques.architecture.table import Deviation  # noqa: E402
from apps.agents.techniques.base import Assignment, spec_of  # noqa: E402
from benchmarks.links import Shop, Teller  # noqa: E402
from benchmarks.prune_and_recover import exported, original_network  # noqa: E402

FORMAT = "torch-export"
NEVER_LESS = 0.98
"""The uniform network may be this much faster than the network found, which is the noise of a timing."""
CUTS = (0.95, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.65)


@dataclass(frozen=True)
class Result:
    name: str
    accuracy: float
    """In per cent."""
    latency_ms: float
    size_bytes: int

    def dominates(self, other: Result) -> bool:
        return self.accuracy >= other.accuracy and self.latency_ms <= other.latency_ms


@dataclass(frozen=True)
class Bench:
    """Where networks are timed and judged."""

    shop: Shop
    folder: Path
    images: np.ndarray
    labels: np.ndarray

    def times_ms(self, paths: Sequence[Path]) -> list[float]:
        """Of the exports, as a session hands them over."""
        feeds = {"image": self.images[:1].astype(np.float32)}
        exports = [onnx.load(self.shop.apply("onnx-export", path, FORMAT)) for path in paths]
        return Stopwatch(1).times_ms([Timed(opened(export, 1), feeds) for export in exports])

    def accuracy(self, path: Path) -> float:
        model, right = load_model(path, self.folder), 0
        for start in range(0, len(self.images), 250):
            (logits,) = model.run({"image": self.images[start : start + 250].astype(np.float32)})
            right += int((logits.argmax(1) == self.labels[start : start + 250]).sum())
        return 100 * right / len(self.images)

    def results(self, paths: dict[str, Path]) -> list[Result]:
        times = self.times_ms(list(paths.values()))
        return [
            Result(name, self.accuracy(path), taken, path.stat().st_size)
            for (name, path), taken in zip(paths.items(), times, strict=True)
        ]


def uniform_like(bench: Bench, shop: Shop, original: Path, found: Path) -> Path:
    """The network with every width cut alike that is the fastest of those that are not faster than `found`."""
    cuts = [shop.apply("torch-prune", original, FORMAT, macs_removed=share, round_to=8) for share in CUTS]
    limit, *times = bench.times_ms([found, *cuts])
    slower = [(taken, place) for place, taken in enumerate(times) if taken >= NEVER_LESS * limit]
    return cuts[min(slower)[1]] if slower else original


def table_error(shop: Shop, original: Path, seed: int) -> None:
    """Prints the error of the table, and of a second timing of other sub-networks."""
    spec, parameters = spec_of("torch-search", {"round_to": 8})
    work = Path(tempfile.mkdtemp(dir=shop.folder))
    inputs = load_model(original, work).summary.inputs
    dataset = load_dataset(shop.dataset, shop.spec, inputs, seed, scratch=work)
    given = Assignment(spec, parameters, original, dataset, work, work, seed, format=FORMAT)
    given = replace(given, further_inputs={"teacher": shop.original})
    bench, _ = TorchArchitectureSearch().open(given, None)
    search = Search(bench, Asked.of(parameters, seed), Teller(), work, "The benchmark")
    search.measure()
    told = search.progress.deviation.plain()
    print(f"seed {seed}: {told['within_ten_percent']:.0%} of {told['sub_networks']} sub-networks within 10 %, ", end="")
    print(f"median error {told['median_error']:.1%}, largest {told['largest_error']:.1%}")
    random = np.random.default_rng(seed + 1000)
    networks = [bench.space.near(random.uniform(0.1, 1.0), random, 0.3) for _ in range(24)]
    again = Deviation(tuple(zip(bench.networks_ms(networks), bench.networks_ms(networks), strict=True))).plain()
    print(f"  two timings of the same: {again['within_ten_percent']:.0%} within 10 %, ", end="")
    print(f"median {again['median_error']:.1%}, largest {again['largest_error']:.1%}", flush=True)


def compared(bench: Bench, shop: Shop, original: Path, given: argparse.Namespace) -> bool:
    """One seed: prints its table, and whether the bar is met."""
    rates = {"learning_rate": given.learning_rate, "batch_size": given.batch_size, "threads": 0}
    found = shop.apply(
        "torch-search",
        original,
        FORMAT,
        minutes=given.minutes,
        latency_left=given.latency_left,
        sampler=given.sampler,
        **rates,
    )
    cut = uniform_like(bench, shop, original, found)
    shares = {"uniform": 1.0, "uniform, trained as long": 1 - SUPERNET - TRIALS - FINALISTS}
    uniform = {
        name: shop.apply("torch-recover", cut, FORMAT, minutes=share * given.minutes, **rates)
        for name, share in shares.items()
    }
    found_all = bench.results({"original": original, "searched": found, **uniform})
    whole, searched, scaled, _ = found_all
    print(f"| seed {shop.seed} | accuracy % | latency ms | times faster | bytes |\n|---|---|---|---|---|")
    for one in found_all:
        faster = whole.latency_ms / one.latency_ms
        print(
            f"| {one.name} | {one.accuracy:.2f} | {one.latency_ms:.3f} | {faster:.2f} | {one.size_bytes:,} |",
            flush=True,
        )
    return searched.dominates(scaled)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="the others follow it (0)")
    parser.add_argument("--latency-left", type=float, default=0.2)
    parser.add_argument("--sampler", default="nsga2", choices=("nsga2", "tpe"))
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--table", action="store_true", help="only measure the error of the latency table")
    parser.add_argument("--training-share", type=float, default=0.7, help="of the training pictures (0.7)")
    given = parser.parse_args()
    images, labels = (part.numpy() for part in train.read_split(given.data, "train"))
    test = [part.numpy() for part in train.read_split(given.data, "t10k")]
    with tempfile.TemporaryDirectory(prefix="architecture-") as name:
        folder = Path(name)
        np.savez(folder / "data.npz", image=images, y=labels)
        torch.set_num_threads(usable_cores())
        network = original_network(torch.from_numpy(images[:1000].astype(np.float32)))
        original = exported(network, folder / "original.pt2")
        spec = DatasetSpec(kind="npz", task="classification", training_share=given.training_share)
        shop = Shop(folder, folder / "data.npz", spec, ModelFile(format=FORMAT, path=original))
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        if given.table:
            for seed in seeds:
                table_error(shop, original, seed)
            return 0
        bench = Bench(shop, folder, *test)
        met = [compared(bench, replace(shop, seed=seed), original, given) for seed in seeds]
    print(f"The network found dominates the uniform one for {sum(met)} of {len(met)} seeds.")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
