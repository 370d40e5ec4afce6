"""Recovery training of an ONNX file: its graph runs in PyTorch, and what it learned is written into the same graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.onnx_graph.module import GraphModule
from apps.agents.backends.torch.onnx_graph.weights import write_weights
from apps.agents.backends.torch.placing import place
from apps.agents.backends.torch.recovery import TEACHER, RecoveryTraining
from apps.agents.backends.torch.training.module import set_training, trainable
from apps.agents.backends.torch.training.zeros import Zeros, zeros_in
from apps.agents.contracts.context import Context
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.formats import Format
from apps.agents.files.onnx_files import write_onnx
from apps.agents.files.onnx_opening import open_model
from apps.agents.measuring.engine import Engine, Feeds, open_engine
from apps.agents.techniques.base import Assignment

SAME_AS_RUNTIME = 1e-4
"""The largest difference to ONNX Runtime, as a share of the output's largest number: kernels add in another order,
which costs 1e-6 in a layer and grows with depth. An operator that computes anything else differs by far more."""


@dataclass
class Rebuilt:
    """An ONNX file and its graph as a module."""

    proto: ModelProto
    module: GraphModule
    model: TorchModel


class OnnxRecoveryTraining(RecoveryTraining):
    """Trains the weights of an ONNX graph. Everything else in the file stays as it is."""

    _rebuilt: Rebuilt

    def check(self, assignment: Assignment, context: Context) -> None:
        """Also rebuilds the graph and compares it with ONNX Runtime, in both modes.

        Raises `OperatorNotRebuilt`, `ModelNotTrainable`, and `TechniqueInvalidOutput` if it computes anything else.
        """
        super().check(assignment, context)
        use_threads(assignment.threads)
        engine, label = assignment.engine(), assignment.spec.label
        self._rebuilt = rebuilt(assignment.model, assignment.scratch, engine)
        trainable(self._rebuilt.model, label)
        _check_same(self._rebuilt.model, engine, assignment, next(assignment.batches(2, 2)))

    def _learner(self, assignment: Assignment) -> TorchModel:
        return self._rebuilt.model

    def _zeros(self, learner: TorchModel) -> Zeros | None:
        return zeros_in(self._rebuilt.module.layer_weights())

    def _saved(self, learner: TorchModel, assignment: Assignment) -> Path:
        write_weights(self._rebuilt.proto.graph, self._rebuilt.module.values())
        return write_onnx(self._rebuilt.proto, assignment.out, onnx.save_model)

    def _original(self, assignment: Assignment, device: str) -> TorchModel:
        """An original that is no ONNX file was exported before."""
        given = assignment.further_inputs[TEACHER]
        if given.format != Format.ONNX:
            return load_model(given.path, assignment.scratch, device=device)
        engine = open_engine(given.format, given.path, assignment.scratch)
        model = rebuilt(given.path, assignment.scratch, engine).model
        _check_same(model, engine, assignment, next(assignment.batches(2, 2)))
        place(model.module, device)
        return model


def rebuilt(file: Path, scratch: Path, engine: Engine) -> Rebuilt:
    """The graph in `file` as a module in evaluation mode. `engine` has the file open.

    Raises `OperatorNotRebuilt` with the first node that PyTorch has no counterpart for.
    """
    opened = open_model(file, scratch)
    proto = onnx.load(str(opened))
    module = GraphModule(proto).eval()
    return Rebuilt(proto, module, TorchModel(module, Format.ONNX, engine.summary, opened.parent))


def _check_same(model: TorchModel, engine: Engine, assignment: Assignment, feeds: Feeds) -> None:
    wanted = engine.session(Target(threads=assignment.threads))(feeds)
    for training in (True, False):
        set_training(model, learn_statistics=False, dropout=training)
        for spec, expected, given in zip(model.summary.outputs, wanted, model.run(feeds), strict=True):
            largest = float(np.abs(expected.astype(np.float64)).max(initial=0.0))
            close = SAME_AS_RUNTIME * max(largest, 1e-3)
            if given.shape != expected.shape or not np.allclose(given, expected, rtol=0, atol=close, equal_nan=True):
                reason = f"its graph, rebuilt in PyTorch, gives a different output {spec.name!r}"
                raise TechniqueInvalidOutput(technique=assignment.spec.label, reason=reason)
    model.module.eval()
