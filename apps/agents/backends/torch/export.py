"""Export to ONNX: the same network for ONNX Runtime, with all free axes still free.

Modules and exported programs use `torch.export` and its ONNX exporter. TorchScript programs, which that cannot read,
use the older exporter, which runs them once. Attention of transformers models is written as products and softmax, which
every technique for ONNX supports. See https://docs.pytorch.org/docs/stable/onnx.html.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnx import ModelProto

from apps.agents.backends.torch import onnx_file
from apps.agents.backends.torch.equality import Agreement, Case, Differs, cases_of, compare
from apps.agents.backends.torch.flattening import flat
from apps.agents.backends.torch.fusion import FUSIONS, NotFused
from apps.agents.backends.torch.loading import load_model
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.pretrained import is_pretrained
from apps.agents.backends.torch.tracing import ByPlace, dynamic_shapes, example_feeds, example_tensors
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput, TechniqueNoEffect, TechniqueNotApplicable
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.files.onnx_files import write_onnx
from apps.agents.measuring.engine import Array
from apps.agents.techniques.base import Applied, Assignment, BaseOptimizationAgent
from apps.agents.techniques.library_calls import library_words

SAME_DB = 60.0
"""Agreement over the calibration examples that counts as equal: other kernels add float32 in another order."""
SAME_AS_HALF_DB = 20.0
"""The same if the original computes in half precision and the export in float32, which is more accurate."""
OPSET_OF_SCRIPTS = 18
_EXAMPLES = 6
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class OnnxExport(BaseOptimizationAgent):
    """Exports the model, and delivers only a result that computes the same as the original."""

    lowest_sqnr_db = SAME_DB
    _agreement: Agreement
    _widened_from: torch.dtype | None = None

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        model = self._loaded(assignment)
        context.progress(0.05, "running the original on batches of several sizes")
        feeds = next(assignment.batches(_EXAMPLES, _EXAMPLES))
        cases = cases_of(model, feeds, assignment.dataset.layout)
        context.progress(0.2, "tracing and translating")
        proto = to_onnx(model, example_feeds(model.summary, feeds, assignment.dataset.layout), assignment.spec.label)
        raw = assignment.scratch / "as-exported.onnx"
        if assignment.parameters["transformer_fusions"]:
            onnx.save(proto, str(raw))  # With inner shapes, which are needed to recognise blocks.
        plain = write_onnx(onnx_file.tidy(proto, model.summary), assignment.scratch, onnx.save_model)
        context.progress(0.7, "comparing it with the original")
        names = [spec.name for spec in model.summary.outputs]
        self._agreement = self._equal(plain, cases, names, assignment.spec.label)
        if assignment.parameters["transformer_fusions"]:
            context.progress(0.8, "fusing transformer blocks")
            plain = self._fused(raw, cases, model.summary, assignment, context)
        agreement = {"batches": self._agreement.cases, "largest_error": float(self._agreement.max_error)}
        return Applied(plain.rename(assignment.out / plain.name), {"agreement": agreement})

    def effect(self, assignment: Assignment, before: ModelSummary, after: ModelSummary) -> str:
        """Describe the result, and the types in which it computes."""
        free = sorted({axis for spec in after.inputs for axis in spec.shape if isinstance(axis, str)})
        axes = f"with the free axes {', '.join(free)}" if free else "without free axes"
        wider = f", in float32 where the original has {str(self._widened_from)[6:]}" if self._widened_from else ""
        return f"It is ONNX of opset {after.opset} in {sum(after.operators.values())} operators, {axes}{wider}."

    def validate(self, assignment: Assignment, artifact: Path) -> tuple[tuple[str, ...], ModelSummary]:
        """Like every technique's validation, preceded by the equality found before."""
        checks, after = super().validate(assignment, artifact)
        return (self._agreement.sentence, *checks), after

    def _loaded(self, assignment: Assignment) -> TorchModel:
        """The model in float32. Raises `TechniqueNotApplicable` for one that is quantized."""
        model = load_model(assignment.model, assignment.scratch)
        if model.summary.quantization:
            reason = (
                f"it is already quantized ({model.summary.quantization}), in a way that ONNX has no operators for; "
                "export the float model and quantize the export"
            )
            raise TechniqueNotApplicable(technique=assignment.spec.label, reason=reason)
        if model.dtype in (torch.bfloat16, torch.float16) and model.format is not Format.TORCH_EXPORT:
            # ONNX Runtime has few half-precision kernels on a CPU; float32 loses nothing.
            self._widened_from, self.lowest_sqnr_db = model.dtype, SAME_AS_HALF_DB
            model.module.float()
        return model

    def _equal(self, file: Path, cases: list[Case], names: list[str], label: str) -> Agreement:
        if not cases:
            raise TechniqueNotApplicable(technique=label, reason="it does not run on the data set's own examples")
        try:
            return compare(file, cases, names)
        except Differs as difference:
            raise TechniqueInvalidOutput(technique=label, reason=str(difference)) from difference

    def _fused(
        self, raw: Path, cases: list[Case], summary: ModelSummary, assignment: Assignment, context: Context
    ) -> Path:
        """The fused graph that is still equal. Raises `TechniqueNoEffect` if there is none."""
        reasons = []
        for library, fuse in FUSIONS.items():
            try:
                fused = onnx_file.tidy(fuse(raw), summary)
                written = write_onnx(fused, assignment.scratch, onnx.save_model)
                self._agreement = compare(written, cases, [spec.name for spec in summary.outputs])
            except (NotFused, Differs) as refusal:
                reasons.append(f"{library}: {refusal}")
                continue
            context.log(f"Blocks were fused by {library}.")
            return written
        reason = f"no block could be fused with outputs that stay the same ({'; '.join(reasons)})"
        raise TechniqueNoEffect(technique=assignment.spec.label, reason=reason)


def to_onnx(model: TorchModel, feeds: Mapping[str, Array], label: str) -> ModelProto:
    """Translate `model`, traced on `feeds`. Raises `TechniqueLibraryFailed` with the exporter's own message."""
    inputs = [spec.name for spec in model.summary.inputs]
    outputs = [spec.name for spec in model.summary.outputs]
    if is_pretrained(model.module):
        model.module.set_attn_implementation("eager")
    with _exporters_words(label), torch.no_grad():
        if model.format is Format.TORCHSCRIPT:
            return _from_script(model, feeds, inputs, outputs)
        program = torch.onnx.export(
            ByPlace(model),
            example_tensors(feeds),
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes(model.summary),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto: ModelProto = program.model_proto
    return proto


def to_onnx_of_fixed_shape(model: TorchModel, feeds: Mapping[str, Array], label: str) -> ModelProto:
    """Translate `model` for inputs of exactly these shapes, to be timed and thrown away: in a tenth of the time.

    The older exporter does it, which runs the model once. Raises `TechniqueLibraryFailed` with its message.
    """
    written = io.BytesIO()
    with _exporters_words(label), torch.no_grad():
        torch.onnx.export(
            ByPlace(model).eval(),
            example_tensors(feeds),
            written,
            dynamo=False,
            input_names=[spec.name for spec in model.summary.inputs],
            output_names=[spec.name for spec in model.summary.outputs],
            opset_version=OPSET_OF_SCRIPTS,
        )
    return onnx.load_from_string(written.getvalue())


def _from_script(model: TorchModel, feeds: Mapping[str, Array], inputs: list[str], outputs: list[str]) -> ModelProto:
    """Use the older exporter, which needs a name for every free axis."""
    free = {
        spec.name: {
            place: axis or f"{spec.name}_{place}" for place, axis in enumerate(spec.shape) if not isinstance(axis, int)
        }
        for spec in model.summary.inputs
    }
    written, examples = io.BytesIO(), example_tensors(feeds)
    torch.onnx.export(
        flat(model, examples),
        examples,
        written,
        dynamo=False,
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=free,
        opset_version=OPSET_OF_SCRIPTS,
    )
    return onnx.load_from_string(written.getvalue())


@contextmanager
def _exporters_words(label: str) -> Iterator[None]:
    """Turn an exporter's exceptions into `TechniqueLibraryFailed`. Its warnings are not useful to a member."""
    with warnings.catch_warnings(), library_words(label, _innermost):
        warnings.simplefilter("ignore")
        yield


def _innermost(error: BaseException) -> str:
    """The first cause in the exporter's chain. Its wrappers only advise how to change the code."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(_COLOURS.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:400]}".rstrip(". ")
