"""What a job does not use, its child does not load: most of a short job's time would go by with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.agents.workshop import FASHION, RESNET

ROOT = Path(__file__).resolve().parents[2]
DEAR = {"pandas", "pyarrow", "scipy.stats", "sympy", "tensorflow", "torch", "transformers"}
"""A tenth of a second and more each."""

JOB = """
import sys
from pathlib import Path
from tests.agents.workshop import Workshop
workshop = Workshop(Path(sys.argv[1]))
made = workshop.apply("onnx-graph", Path(sys.argv[2]), Path(sys.argv[3]))
assert not [line for line in workshop.told.lines if "symbolically" in line], workshop.told.lines
"""
HANDLERS = """
import importlib, pkgutil, sys
from apps.agents import handlers
for module in pkgutil.iter_modules(handlers.__path__):
    importlib.import_module(f"apps.agents.handlers.{module.name}")
"""


def dear_after(script: str, *arguments: Path) -> set[str]:
    """Which of the dear libraries a fresh interpreter has loaded after `script`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nprint(*sys.modules)", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return DEAR & set(done.stdout.splitlines()[-1].split())


def test_no_handler_brings_a_library_that_only_some_jobs_use() -> None:
    assert dear_after(HANDLERS) == set()


def test_a_graph_is_optimized_without_pytorch(tmp_path: Path) -> None:
    """ONNX Runtime's own tools would import it; the shapes, which sympy helps to infer, are found all the same."""
    assert dear_after(JOB, tmp_path, RESNET, FASHION) == {"sympy"}
