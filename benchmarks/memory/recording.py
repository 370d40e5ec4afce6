"""Recorded measurements of one model: its analysis, and every candidate that a plan could name, measured once."""

from __future__ import annotations

import json
from pathlib import Path

from apps.agents.contracts.chain import Chain
from apps.agents.contracts.reports.analysis import AnalysisReport
from apps.agents.contracts.reports.dataset import DatasetSummary
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.values import Value

LEFT_OUT = ("onnx-prune", "onnx-decompose", "onnx-equalize", "onnx-gptq", "onnx-adaround", "onnx-low-bits")
"""Pruned models are tried after all others, in an order of their own; the others came after the recordings."""
FOLDER = Path(__file__).parent / "recordings"


class Measured(Value):
    """A candidate that was made and measured on the validation part."""

    steps: Chain
    report: EvaluationReport
    making_s: float
    measuring_s: float


class Recording(Value):
    """One model on one machine."""

    name: str
    dataset: DatasetSummary
    analysis: AnalysisReport
    measured: tuple[Measured, ...]


def read_all(folder: Path = FOLDER) -> tuple[Recording, ...]:
    """All recordings, by name."""
    return tuple(Recording.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json")))


def write(recording: Recording, folder: Path = FOLDER) -> Path:
    """Writes a recording without what nothing that is replayed reads: outcomes of examples, blocks of timing."""
    plain = recording.model_dump(mode="json", exclude_defaults=True)
    machine = plain["analysis"]["machine"]
    machine |= {"hostname": f"recorded on {machine['cpu']}", "system": "Linux"}
    for one in plain["measured"]:
        report = one["report"]
        for name in ("outcomes", "classes", "flips", "findings", "slowdown"):
            report.pop(name, None)
        for name in ("original_blocks_ms", "candidate_blocks_ms"):
            report["latency"].pop(name, None)
        report["machine"] = machine
    path = folder / f"{recording.name}.json"
    path.write_text(json.dumps(plain, separators=(",", ":"), sort_keys=True) + "\n")
    return path
