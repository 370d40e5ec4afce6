"""The anatomy of a model for pruning: its channels, the groups that can be cut, and the work of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from apps.agents.backends.onnx import files
from apps.agents.backends.onnx.normalization import normalized
from apps.agents.backends.onnx.pruning.rules import trace_channels
from apps.agents.backends.onnx.pruning.surgery import sliced
from apps.agents.backends.onnx.pruning.tracing import Layer, Shapes, Trace
from apps.agents.backends.onnx.split_model import fold
from apps.agents.backends.onnx.workload import costs_of, macs_of, workload
from apps.agents.measuring.engine import Feeds
from apps.agents.techniques.channel_pruning.allocation import uniform, work_of
from apps.agents.techniques.channel_pruning.anatomy import Anatomy
from apps.agents.techniques.channel_pruning.channels import Kept
from apps.agents.techniques.channel_pruning.groups import groups_of, is_cuttable, why_nothing
from apps.agents.techniques.reduction import Workload


@dataclass(frozen=True)
class OnnxAnatomy(Anatomy[Layer]):
    """A folded graph and the findings about it."""

    trace: Trace

    def parameters_gone(self, kept: Kept) -> int:
        return sum(self.trace.stored[name].size - array.size for name, array in sliced(self.trace, kept).items())

    def uniform(self, macs_removed: float, multiple_of: int) -> Workload:
        """The workload if every group keeps the same share of its channels."""
        return self.left_of(uniform(self.cuttable, self.work, macs_removed, multiple_of))


def examine(model: Path, folder: Path, feeds: Feeds, examples: int) -> OnnxAnatomy:
    """The anatomy of an opened model; `feeds` are `examples` examples. Raises `ModelNotLoadable`, `ModelRunFailed`."""
    return anatomy_of(fold(normalized(model, folder), folder / "folded.onnx"), feeds, examples)


def anatomy_of(folded: Path, feeds: Feeds, examples: int) -> OnnxAnatomy:
    """The same for a graph that is already folded."""
    costs, shapes = costs_of(folded, feeds, examples)
    trace = trace_channels(files.load_proto(folded), shapes)
    groups = groups_of(trace)
    cuttable = tuple(filter(is_cuttable, groups))
    uncut = tuple(group for group in groups if group.reason is not None)
    return OnnxAnatomy(trace, cuttable, uncut, work_of(trace, cuttable, macs_of(costs)), workload(costs).parameters)


def why_uncuttable(proto: ModelProto, shapes: Shapes) -> str | None:
    """Why nothing in a folded graph can be cut, given the shapes of a run; `None` if something can."""
    groups = groups_of(trace_channels(proto, shapes))
    return None if any(map(is_cuttable, groups)) else why_nothing([one for one in groups if one.reason is not None])
