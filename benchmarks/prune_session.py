"""What a session by itself makes of the sample ResNet as a PyTorch program: the planner is not told what to do.

    python -m benchmarks.prune_session --data /usr/share/datasets/fashion-mnist --minutes 30

The bar: within 30 minutes at least 20 times faster and 30 times smaller than the float original in ONNX Runtime, at a
loss of at most one point. The program, one data set and criteria with a budget are all that the session gets. The
original has learned Fashion-MNIST's 60,000 training pictures and knows them better than others (94.1 % instead of
92.6 %), so that nothing that has not learned them can hold the limit on them. The session therefore trains on training
pictures, 59,930 of them, and calibrates, chooses and judges with the 10,000 test
pictures. A portal of its own is started in a temporary folder: Redis, workers and the services behind page and API.
Accuracy is that of the test pictures with which the session judged; no choice was made with them before. Speed is the
median CPU time of one thread on one picture in ONNX Runtime, original and result in turns. Exit 0 if the bar is met.
Memory: 4 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from apps.agents.contracts.criteria import Budget, Constraints, Criteria, Objective
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.datasets.split import split
from apps.agents.measuring.protocol import ModelFile
from benchmarks.links import Shop
from benchmarks.own_portal import SEED, run_session, start_django
from benchmarks.prune_and_recover import POINTS, exported, original_network, report, train

if TYPE_CHECKING:
    from apps.optimization.models import OptimizationSession

TRAINING_SHARE = 0.857
Pictures = tuple[np.ndarray, np.ndarray]
"""Float32 [N, 1, 28, 28] and the labels, [N]."""


def delivered(session: OptimizationSession, folder: Path) -> Path | None:
    """The model in the session's package, if it is an ONNX file."""
    from apps.models.storage import open_blob
    from apps.optimization.services import package_of

    with open_blob(package_of(session).blob) as file, zipfile.ZipFile(file) as archive:
        name = next((one for one in archive.namelist() if one.endswith(".onnx")), None)
        return Path(archive.extract(name, folder)) if name else None


def pictures(data: Path) -> tuple[Pictures, Pictures]:
    """What the session gets, its training part from the training pictures and all other parts from the test pictures,
    and those among it with which the session judges.

    The session divides a data set by its labels, its size and the seed, so each place gets a picture of its label from
    the set that belongs there.
    """
    sources = [tuple(part.numpy() for part in train.read_split(data, name)) for name in ("train", "t10k")]
    labels = _labels(int(len(sources[1][1]) / (1 - TRAINING_SHARE)))
    parts = split(len(labels), SEED, labels, TRAINING_SHARE)
    tests = np.ones(len(labels), bool)
    tests[parts.training] = False
    images = np.empty((len(labels), *sources[0][0].shape[1:]), np.float32)
    for label in range(train.CLASSES):
        for wanted, (found, known) in zip((~tests, tests), sources, strict=True):
            places = np.flatnonzero(wanted & (labels == label))
            images[places] = found[known == label][: len(places)]
    judged = parts.evaluation
    return (images, labels), (images[judged], labels[judged])


def _labels(count: int) -> np.ndarray:
    """All classes in turn: each has as many of the test pictures as any other."""
    return np.arange(count, dtype=np.int64) % train.CLASSES


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--minutes", type=float, default=30.0, help="the session's budget (30)")
    parser.add_argument("--objective", choices=[one.value for one in Objective], default="latency")
    parser.add_argument("--min-speedup", type=float, help="a limit of the criteria (none)")
    parser.add_argument("--candidates", type=int, default=12, help="the most that are measured (12)")
    return parser.parse_args()


def main() -> int:
    given = parsed()
    torch.set_num_threads(1)
    criteria = Criteria(
        objective=Objective(given.objective),
        constraints=Constraints(max_metric_drop_points=POINTS, min_speedup=given.min_speedup),
        budget=Budget(minutes=given.minutes, candidates=given.candidates),
    )
    with tempfile.TemporaryDirectory(prefix="prune-session-") as name:
        folder = Path(name)
        (images, labels), judged = pictures(given.data)
        np.savez(folder / "pictures.npz", image=images, y=labels)
        spec = DatasetSpec(kind="npz", task="classification", training_share=TRAINING_SHARE)
        network = original_network(torch.from_numpy(images[:1000]))
        original = exported(network, folder / "original.pt2")
        (folder / "var").mkdir()
        start_django(folder / "var")
        session = run_session(original, folder / "pictures.npz", spec, criteria)
        result = delivered(session, folder)
        if result is None:
            print("The session delivered no ONNX file. The bar is not met.")
            return 1
        shop = Shop(folder, folder / "pictures.npz", spec, ModelFile(format="torch-export", path=original))
        whole = shop.apply("onnx-export", original, "torch-export")
        met = report(shop, whole, {"delivered": result}, judged)
        print(f"{session.worked_s / 60:.1f} minutes of work. The bar is {'met' if met else 'not met'}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
