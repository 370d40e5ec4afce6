"""A child waits for the libraries of the model it opens, and for no other's: a session starts ten or more of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OPEN = """
import sys
import numpy
from importlib import import_module
from pathlib import Path
from apps.agents.contracts.formats import format_spec

name, path, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if name == "torchscript":
    import torch
    path = scratch / "model.pt"
    torch.jit.trace(torch.nn.Linear(4, 2), torch.ones(1, 4), check_trace=False).save(path)

from apps.agents.handlers import analysis, evaluate, inspection, optimize, package
from apps.agents.contracts.criteria import Target
from apps.agents.analysis.engine import open_analysis_engine
from apps.agents.measuring.engine import open_engine
from apps.agents.measuring.timing_intervals import student
from apps.agents.measuring.statistics.group_sequential import critical_values
from apps.agents.measuring.statistics.intervals import mcnemar_p, share, share_difference

module, _, inspector = format_spec(name).inspector.partition(":")
summary = getattr(import_module(module), inspector)(path, scratch, limit_bytes=2**30)
open_engine(name, path, scratch).session(Target())
feeds = {
    spec.name: numpy.ones([axis if isinstance(axis, int) else 1 for axis in spec.shape], spec.dtype)
    for spec in summary.inputs
}
critical_values(0.025, (0.5, 1.0)), student(0.95, 2)
mcnemar_p(1, 2), share(1, 2, 0.95), share_difference(1, 2, 9, 0.95)
assert open_analysis_engine(name, path, scratch).layers([feeds], 1)
print(*sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)))
"""

HEAVY = {"keras", "networkx", "pandas", "pyarrow", "scipy.stats", "sympy", "tensorflow", "torch._dynamo", "torchao"}
HEAVY |= {"torch_pruning", "transformers", "triton"}
"""Each takes from a third of a second to several seconds of a core."""


@pytest.mark.parametrize(
    ("name", "model", "others"),
    [("onnx", ROOT / "samples/fashion_mobilenet.onnx", {"torch"}), ("torchscript", Path(), {"onnx", "onnxruntime"})],
)
def test_opening_a_model_loads_its_own_runtime_only(name: str, model: Path, others: set[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, name, str(model), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert not done.returncode, done.stderr
    assert set(done.stdout.split()) & (HEAVY | others) == set()


FOLDER = """
import sys
import numpy
from pathlib import Path
from apps.agents.contracts.criteria import Target
from apps.agents.measuring.engine import open_engine

def opened(model):
    engine = open_engine("transformers", model, scratch)
    ids = numpy.ones((2, 5), "int64")
    engine.session(Target())({spec.name: ids for spec in engine.summary.inputs})
    return engine.summary

plain, scratch = map(Path, sys.argv[1:])
assert opened(plain).quantization is None
print(*{name.partition(".")[0] for name in sys.modules})

from tests.agents.small_llamas import rows
from tests.agents.workshop import FIDELITY, Workshop

workshop = Workshop(scratch, "transformers")
made = workshop.apply("torch-weight-only", plain, workshop.examples(**rows()), FIDELITY)
print(opened(made.artifact).quantization)
"""


def test_a_plain_folder_brings_its_own_libraries_alone_and_torchao_comes_with_what_it_quantizes(tmp_path: Path) -> None:
    from tests.agents.small_llamas import llama_zip  # It imports PyTorch, which these tests are to do without.

    (scratch := tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", FOLDER, str(llama_zip(tmp_path / "folder")), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    assert not done.returncode, done.stderr
    loaded, *_, quantized = done.stdout.splitlines()
    others = {"boto3", "pandas", "scipy", "sklearn", "torchao", "torchvision", "trio"}
    assert set(loaded.split()) & others == set()
    assert quantized.startswith("torchao")


KERAS = """
import sys
import numpy
from pathlib import Path
from apps.agents.backends.tensorflow.engine import TensorFlowEngine
from apps.agents.contracts.criteria import Target
import keras

scratch = Path(sys.argv[1])
keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)]).save(scratch / "model.keras")
engine = TensorFlowEngine(scratch / "model.keras", scratch)
engine.session(Target())({"x": numpy.ones((1, 4), "float32")})
print(*sys.modules)
"""


def test_a_keras_file_brings_neither_data_frames_nor_what_distorts_pictures(tmp_path: Path) -> None:
    command, environment = [sys.executable, "-c", KERAS, str(tmp_path)], {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT, env=environment)
    assert not done.returncode, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"keras", "tf_keras"} <= loaded
    assert loaded & {"pandas", "scipy.linalg", "scipy.ndimage", "torch"} == set()
