"""Olive's int8 passes for ONNX models with their defaults. Option: `mode`, `static` or `dynamic`.

https://microsoft.github.io/Olive/features/quantization.html
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from olive import run

from benchmarks.peers.makers.job import Job, asked

PASSES = {"static": "OnnxStaticQuantization", "dynamic": "OnnxDynamicQuantization"}
DATA = Path(__file__).with_name("olive_data.py")


def make(job: Job) -> None:
    static = job.options["mode"] == "static"
    if static and not job.calibration:
        raise SystemExit("It calibrates with arrays, and the data set has texts.")
    quantize: dict[str, Any] = {"type": PASSES[job.options["mode"]]}
    workflow = {
        "input_model": {"type": "OnnxModel", "model_path": job.model},
        "passes": {"quantize": quantize | ({"data_config": "calibration"} if static else {})},
        "data_configs": [examples(job)] if static else [],
        "output_dir": str(job.folder / "olive"),
        "cache_dir": str(job.folder / "cache"),
    }
    made = run(workflow)
    artifact = job.folder / "model.onnx"
    shutil.copyfile(made.get_best_candidate().model_path, artifact)
    job.done(artifact, "onnx", "olive-ai", "onnxruntime")


def examples(job: Job) -> dict[str, Any]:
    """Where Olive finds the calibration examples."""
    return {
        "name": "calibration",
        "type": "DataContainer",
        "user_script": str(DATA),
        "load_dataset_config": {"type": "calibration_arrays", "params": {"path": job.calibration}},
        "dataloader_config": {"params": {"batch_size": 1}},
    }


if __name__ == "__main__":
    make(asked())
