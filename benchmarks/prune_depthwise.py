"""What a session by itself makes of the depthwise sample as an ONNX file: is the cut one worth more than int8 alone?

    python -m benchmarks.prune_depthwise --data /usr/share/datasets/fashion-mnist --minutes 20

The bar: at least 1.3 times faster than its int8 alone at a loss of at most one point, or a report that says why not.
The session gets the file, Fashion-MNIST's 10,000 test pictures without a training part, and the profile "fastest". A
portal of its own is started in a temporary folder: Redis, workers and the services behind page and API. Every measured
candidate is printed with what the report says of it. Exit 0 if the bar is met by what is delivered, 2 if the report
says of every faster candidate why it was not. Memory: 3 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.agents.contracts.criteria import PROFILES, Budget
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.evaluation import EvaluationReport
from benchmarks.own_portal import run_session, start_django
from benchmarks.prune_and_recover import ROOT, train

if TYPE_CHECKING:
    from apps.optimization.models import Candidate, OptimizationSession

FASTER = 1.3
"""The bar, over the fastest candidate in 8 bits that was not cut."""
PRUNE, QUANTIZE = "onnx-prune", "onnx-static-int8"
NOT_MET, EXPLAINED = 1, 2


def measured(session: OptimizationSession) -> list[tuple[Candidate, EvaluationReport]]:
    """Every candidate with its last evaluation."""
    rows = session.candidates.select_related("evaluation__step").order_by("key")
    return [(one, EvaluationReport.model_validate(one.evaluation.body)) for one in rows if hasattr(one, "evaluation")]


def techniques(candidate: Candidate) -> list[str]:
    return [link["technique"] for link in candidate.steps]


def _in_8_bits_alone(chain: list[str]) -> bool:
    return QUANTIZE in chain and PRUNE not in chain


def row(candidate: Candidate, report: EvaluationReport) -> str:
    """A line of the table."""
    chain, drop = " → ".join(techniques(candidate)), report.primary.drop
    lost = "unknown" if drop is None else f"{drop.value:.2f} ({drop.low or 0:.2f} to {drop.high or 0:.2f})"
    cells = (candidate.key, chain, f"{report.latency.speedup.value:.2f}", f"{report.size_bytes.ratio:.2f}", lost)
    return f"| {' | '.join(cells)} | {candidate.status} | {candidate.reason} |"


def judged(session: OptimizationSession) -> int:
    """Print the table; the exit status."""
    found = measured(session)
    print("| candidate | chain | times faster | times smaller | points lost (95 %) | status | the report says |")
    print("|---|---|---|---|---|---|---|")
    for each in found:
        print(row(*each))
    plain = [one.latency.speedup.value for candidate, one in found if _in_8_bits_alone(techniques(candidate))]
    if not plain:
        print("No candidate in 8 bits alone was measured. The bar is not met.")
        return NOT_MET
    enough = [each for each in found if each[1].latency.speedup.value >= FASTER * max(plain)]
    if any(candidate.status == "selected" for candidate, _ in enough):
        print("The bar is met.")
        return 0
    print(f"Nothing that is {FASTER} times as fast as 8 bits alone ({max(plain):.2f}×) was delivered.")
    return EXPLAINED if all(candidate.reason for candidate, _ in enough) else NOT_MET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's *-ubyte.gz files")
    parser.add_argument("--minutes", type=float, default=20.0, help="the session's budget (20)")
    parser.add_argument("--candidates", type=int, default=8, help="the most that are measured (8)")
    given = parser.parse_args()
    budget = Budget(minutes=given.minutes, candidates=given.candidates)
    criteria = PROFILES["fastest"].model_copy(update={"budget": budget})
    with tempfile.TemporaryDirectory(prefix="prune-depthwise-") as name:
        folder = Path(name)
        images, labels = (part.numpy() for part in train.read_split(given.data, "t10k"))
        np.savez(folder / "pictures.npz", image=images.astype(np.float32), y=labels)
        (folder / "var").mkdir()
        start_django(folder / "var")
        spec = DatasetSpec(kind="npz", task="classification")
        session = run_session(ROOT / "samples" / "fashion_mobilenet.onnx", folder / "pictures.npz", spec, criteria)
        return judged(session)


if __name__ == "__main__":
    sys.exit(main())
