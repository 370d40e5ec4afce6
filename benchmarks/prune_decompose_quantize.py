"""How fast the sample ResNet becomes by calibration alone: channels cut, layers decomposed, then int8.

    python -m benchmarks.prune_decompose_quantize --data /usr/share/datasets/fashion-mnist

The bar: 12 times faster in ONNX Runtime at a loss of at most one point. 512 training pictures without their labels are
what techniques see. Candidates are all combinations of the shares and of int8 kinds. The fastest one that loses at most
0.8 points of 4,000 test pictures is chosen and judged once, on the other 6,000 test pictures and with new timings.
Speed is the ratio of CPU times of one thread at batch 1, in blocks of runs in turns. The choice takes one fresh
process, the judgement five. Timing asks for a niceness of -5. The time per layer of the original and the chosen model
comes last. With `--work`, what was made is kept in that folder and not made again. Exit 0 if the bar is met. Memory:
2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from apps.agents.backends.onnx.runtime import open_session
from apps.agents.contracts.dataset_spec import Metric
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.evaluation.metrics.comparing import compare_shares
from benchmarks.pruning import LARGEST_SHARE, SEEN, pictures
from tests.agents.workshop import FIDELITY, RESNET, Workshop

FASTER, POINTS, POINTS_CHOOSING = 12.0, 1.0, 0.8
"""The bar, and what may be lost on the pictures that choose, which is less because the choice favours the lucky."""
CHOOSING = 4000
PRUNED, DECOMPOSED = (0.5, 0.6, 0.7), (0.0, 0.4, 0.6)
KINDS: dict[str, dict[str, Any]] = {"per channel": {}, "per tensor": {"per_channel": False}}
PROCESSES, ROUNDS, RUNS, SETTLING, NICENESS = 5, 40, 10, 3, -5
PROFILED = 300
Bools = NDArray[np.bool_]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Candidate:
    name: str
    model: Path


class Maker:
    """Makes candidates in a folder, each link once."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.folder = folder
        seen, _ = pictures(data, "train")
        chosen = np.random.default_rng(0).permutation(len(seen))[: SEEN * LARGEST_SHARE]
        self.shop = Workshop(Path(tempfile.mkdtemp(dir=folder, prefix="jobs-")))
        self.examples = self.shop.examples(image=seen[chosen])

    def link(self, name: str, technique: str, model: Path, **parameters: Any) -> Path:
        kept = self.folder / f"{name.replace(' ', '-')}.onnx"
        if not kept.is_file():
            made = self.shop.apply(technique, model, self.examples, FIDELITY, **parameters)
            shutil.copy(made.artifact, kept)
        return kept

    def candidates(self, pruned: Sequence[float], decomposed: Sequence[float]) -> Iterator[Candidate]:
        for cut in pruned:
            name, narrow = f"pruned {cut:.0%}", RESNET
            if cut:
                narrow = self.link(name, "onnx-prune", RESNET, macs_removed=cut, multiple_of=16)
            for removed in decomposed:
                try:
                    yield from self._quantized(name, narrow, removed)
                except TechniqueNotApplicable as error:
                    print(f"  {name}, decomposed {removed:.0%}: {error.context['reason']}", file=sys.stderr)

    def _quantized(self, name: str, narrow: Path, removed: float) -> Iterator[Candidate]:
        """`timed` is off, because the time of a layer in float says little about its time in int8. The spatial form
        is the fastest in int8: both of its convolutions gather shorter patches."""
        factored = narrow
        if removed:
            name = f"{name} decomposed {removed:.0%}"
            factored = self.link(name, "onnx-decompose", narrow, removed=removed, form="spatial", timed=False)
        for kind, parameters in KINDS.items():
            whole = f"{name} int8 {kind}"
            yield Candidate(whole, self.link(whole, "onnx-static-int8", factored, **parameters))


def right(model: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Bools:
    session = open_session(model)
    logits = [session.run(None, {"image": part.astype(np.float32)})[0] for part in np.array_split(images, 20)]
    return np.asarray(np.concatenate(logits).argmax(1) == labels)


def lost(before: Bools, after: Bools) -> tuple[float, float, float]:
    """Points of accuracy, with the 95 % interval."""
    drop = compare_shares(Metric.ACCURACY, before, after, 0.95).drop
    assert drop.low is not None
    assert drop.high is not None
    return drop.value, drop.low, drop.high


def afresh(timed: Callable[[Sequence[Path]], Result], models: Sequence[Path]) -> Result:
    """The result of a fresh process, which the scheduler favours where that is permitted."""
    with ProcessPoolExecutor(1, get_context("spawn"), _favour) as pool:
        return pool.submit(timed, models).result()


def _favour() -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def speedups(models: Sequence[Path]) -> list[float]:
    """How much faster than the first model each is."""
    sessions = [open_session(path, threads=1) for path in models]
    times = np.empty((ROUNDS, len(models)))
    for turn in range(ROUNDS):
        for place, session in enumerate(sessions):
            times[turn, place] = _block(session)
    return [float(np.median(times[1:, 0] / times[1:, place])) for place in range(len(models))]


def _block(session: onnxruntime.InferenceSession) -> int:
    """CPU time of some runs, the caches warm."""
    picture, begun = {"image": np.full((1, 1, 28, 28), 100, np.float32)}, 0
    for run in range(SETTLING + RUNS):
        if run == SETTLING:
            begun = time.thread_time_ns()
        session.run(None, picture)
    return time.thread_time_ns() - begun


def by_layer(models: Sequence[Path]) -> list[str]:
    """A table of the median time of each node of each model. Profiling adds a few microseconds to each."""
    lines = ["| node | operator | output | µs |", "|---|---|---|---|"]
    for model in models:
        medians = {key: float(np.median(durations)) for key, durations in _profiled(model).items()}
        lines += [f"| {' | '.join(key)} | {median:.0f} |" for key, median in medians.items()]
        lines.append(f"| all | | | {sum(medians.values()):.0f} |")
    return lines


def _profiled(model: Path) -> dict[tuple[str, str, str], list[int]]:
    """The times of each node: name, operator and the shape of its output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling = 1, True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        for _ in range(PROFILED):
            session.run(None, {"image": np.full((1, 1, 28, 28), 100, np.float32)})
        events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[tuple[str, str, str], list[int]] = {}
    for event in events:
        if event["name"].endswith("_kernel_time"):
            shape = next(iter(event["args"]["output_type_shape"][0].values()))
            name = re.sub("(_token_[0-9]+)?_kernel_time$", "", event["name"])
            key = (name, event["args"]["op_name"], "×".join(map(str, shape)))
            taken.setdefault(key, []).append(event["dur"])
    return taken


def chosen(found: Sequence[Candidate], images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Candidate | None:
    """Print a line for each candidate; the fastest of those that lose little enough."""
    load = os.getloadavg()[0]
    faster = afresh(speedups, [RESNET, *(one.model for one in found)])[1:]
    print(f"| candidate | points lost | times smaller | times faster (load {load:.0f}) |\n|---|---|---|---|")
    before, original = right(RESNET, images, labels), RESNET.stat().st_size
    allowed: list[tuple[float, Candidate]] = []
    for candidate, ratio in zip(found, faster, strict=True):
        points, low, high = lost(before, right(candidate.model, images, labels))
        smaller = original / candidate.model.stat().st_size
        cells = f"{points:.2f} ({low:.2f} to {high:.2f}) | {smaller:.1f} | {ratio:.2f}"
        print(f"| {candidate.name} | {cells} |", flush=True)
        if points <= POINTS_CHOOSING:
            allowed.append((ratio, candidate))
    return max(allowed, key=lambda one: one[0])[1] if allowed else None


def report(arguments: argparse.Namespace, folder: Path) -> bool:
    """Print the tables; whether the bar is met."""
    images, labels = pictures(arguments.data, "t10k")
    order = np.random.default_rng(0).permutation(len(images))
    found = list(Maker(arguments.data, folder).candidates(arguments.pruned, arguments.decomposed))
    winner = chosen(found, images[order[:CHOOSING]], labels[order[:CHOOSING]])
    if winner is None:
        print("No candidate loses little enough.")
        return False
    images, labels = images[order[CHOOSING:]], labels[order[CHOOSING:]]
    points, low, high = lost(right(RESNET, images, labels), right(winner.model, images, labels))
    ratios = sorted(afresh(speedups, [RESNET, winner.model])[1] for _ in range(PROCESSES))
    middle = float(np.median(ratios))
    print(f"\nChosen: {winner.name}.")
    print(f"On {len(images):,} other pictures it loses {points:.2f} points ({low:.2f} to {high:.2f}).")
    print(f"It is {middle:.1f} times faster ({ratios[0]:.1f} to {ratios[-1]:.1f} in {PROCESSES} processes).\n")
    print("\n".join(afresh(by_layer, [RESNET, winner.model])))
    return middle >= FASTER and points <= POINTS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--pruned", nargs="+", type=float, default=PRUNED, help="shares of the work to cut")
    parser.add_argument("--decomposed", nargs="+", type=float, default=DECOMPOSED, help="shares of what is left")
    parser.add_argument("--work", type=Path, help="a folder for what is made (a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chains-") as name:
        folder = arguments.work or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        met = report(arguments, folder)
    print(f"\nThe bar is {'met' if met else 'not met'}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
