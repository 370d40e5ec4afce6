"""Looks inside an ONNX model (`analysis.engine.AnalysisEngine`): its layers, their times, and which tolerate 8 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from apps.agents.analysis.engine import LayerTime, Sensitivity, Tell
from apps.agents.backends.onnx import files, profile
from apps.agents.backends.onnx.channel_spread import channel_spreads
from apps.agents.backends.onnx.cost import layer_costs
from apps.agents.backends.onnx.decomposition.layers import why_indecomposable
from apps.agents.backends.onnx.engine import OnnxEngine
from apps.agents.backends.onnx.normalization import FLOAT32_BITS, normalized, stored_bits
from apps.agents.backends.onnx.observation import Observation, observe
from apps.agents.backends.onnx.pruning.anatomy import why_uncuttable
from apps.agents.backends.onnx.runtime import ONE_PROTOBUF_BYTES
from apps.agents.backends.onnx.sensitivity import measure_sensitivity
from apps.agents.backends.onnx.split_model import SplitModel, fold
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.errors.running import ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.measuring.engine import Feeds, Run


class OnnxAnalysisEngine(OnnxEngine):
    """Works on the graph that quantization starts from: normalized, with constants folded and batch norms merged."""

    def __init__(self, model: Path, scratch: Path) -> None:
        super().__init__(model, scratch)
        self._folder = Path(tempfile.mkdtemp(prefix="analysis-", dir=scratch))
        self._notes: list[str] = []
        self._observation: Observation | None = None
        self._stored_share = 1.0
        """Size of a weight in the file, as a share of its size in the analysed graph."""

    def layers(self, batches: Sequence[Feeds], examples: int | None = None) -> tuple[Layer, ...]:
        seen = self._observed(batches)
        costs = layer_costs(self._split.proto, seen.shapes, examples or seen.examples_per_batch or 1)
        spreads = channel_spreads(self._split)
        return tuple(
            Layer(
                name=cost.name,
                op_type=cost.op_type,
                parameters=cost.parameters,
                weight_bytes=round(cost.weight_bytes * self._stored_share),
                macs=cost.macs,
                depthwise=cost.depthwise,
                channel_spread=spreads.get(cost.name),
            )
            for cost in costs
        )

    def times(self, feeds: Feeds, target: Target) -> Mapping[str, LayerTime]:
        found = profile.profile(self._folded, feeds, target)
        return {
            name: LayerTime(time_ms, share)
            for name, time_ms in found.layers_ms.items()
            if (share := found.share(name)) is not None
        }

    def sensitivity(
        self, batches: Sequence[Feeds], order: Sequence[str], *, budget_s: float, tell: Tell
    ) -> Sensitivity:
        seen = self._observed(batches)
        if not seen.ranges:
            return Sensitivity()
        return measure_sensitivity(self._split, seen, batches, order, budget_s=budget_s, tell=tell)

    def generation(self, feeds: Feeds, target: Target) -> None:
        """`None`: the graph does not keep a cache of what it has read, so token-by-token generation is not measured."""

    def modes(self, target: Target) -> Sequence[tuple[str, Run]]:
        """Empty: the runtime chooses the best mode itself."""
        return ()

    def hindrances(self, batches: Sequence[Feeds]) -> Mapping[str, str]:
        """Pruning, where none of the channels may be cut, and decomposition, where no layer can be replaced."""
        seen = self._observed(batches)
        if not seen.shapes or files.size_bytes(self._folded) > ONE_PROTOBUF_BYTES:
            return {}
        proto, found = files.load_proto(self._folded), {}
        if reason := why_uncuttable(proto, seen.shapes):
            found["onnx-prune"] = f"No channels of it can be cut: {reason}."
        if reason := why_indecomposable(proto, seen.shapes, seen.examples_per_batch or 1):
            found["onnx-decompose"] = f"No layer of it can be replaced by smaller factors: {reason}."
        return found

    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    @cached_property
    def _folded(self) -> Path:
        """The graph that quantization starts from, or the file's if the runtime rejects the simplified one."""
        changed = normalized(self._model, self._folder, widen=True)
        for source in dict.fromkeys((changed, self._model)):
            try:
                folded = fold(source, self._folder / "folded.onnx")
            except ModelNotLoadable as error:
                reason = error.context["reason"]
                continue
            self._note_widening(source)
            return folded
        # Some graphs run but cannot be written back; those are analysed unchanged.
        self._notes.append(f"The graph could not be simplified, so layers are those of the file: {reason}.")
        return self._model

    def _note_widening(self, source: Path) -> None:
        bits = stored_bits(self._model) if source != self._model else FLOAT32_BITS
        self._stored_share = bits / FLOAT32_BITS
        if bits != FLOAT32_BITS:
            self._notes.append("Layers are those of the graph in float32, which quantization starts from.")

    @cached_property
    def _split(self) -> SplitModel:
        return SplitModel(self._folded, threads=1)

    def _observed(self, batches: Sequence[Feeds]) -> Observation:
        """Shapes and ranges from one run of the graph; empty, with a note, if the runtime cannot expose tensors."""
        if self._observation is None:
            try:
                self._observation = observe(self._split, batches)
            except (ModelNotLoadable, ModelRunFailed) as error:
                self._notes.append(
                    "Intermediate tensors could not be observed, so multiply-accumulates and sensitivity are unknown: "
                    f"{error.context['reason']}."
                )
                self._observation = Observation()
        return self._observation
