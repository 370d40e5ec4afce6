"""AWQ by autoawq, in its own format, which many servers of language models read.

autoawq is no longer maintained; this module contains all the workarounds. Its packed layers run on CUDA with its own
kernels. On a CPU they are unpacked once, to the numbers that they compute with. Lin et al. 2024,
https://arxiv.org/abs/2306.00978.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

with warnings.catch_warnings(record=True):  # It warns that it is unmaintained, and changes the global filters.
    from awq.models._config import AwqConfig
    from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.quantize.quantizer import AwqQuantizer
    from awq.utils.packing_utils import dequantize_gemm

from safetensors import SafetensorError
from safetensors.torch import load_file

from apps.agents.backends.torch.checkpoints import named
from apps.agents.backends.torch.engine import use_threads
from apps.agents.backends.torch.folder_quantization import (
    FolderQuantization,
    Rows,
    calibration_rows,
    kept_names,
    left_out,
    library_at_work,
    require_whole_groups,
)
from apps.agents.backends.torch.saving import pack_folder
from apps.agents.backends.torch.transformers_folder import TransformersFolder
from apps.agents.contracts.context import Context
from apps.agents.contracts.errors.running import ModelNotLoadable
from apps.agents.contracts.errors.techniques import TechniqueNotApplicable
from apps.agents.techniques.base import Applied, Assignment
from apps.agents.techniques.library_calls import quiet

BITS = 4
_PACKED_ROWS = 8
"""Rows whose weights share an int32."""
_SCALE_BITS = 16
_CLIP_STEPS = 10
"""Number of limits to try, from a group's largest weight down to a little more than half of it."""


class AutoAwq(FolderQuantization):
    """AWQ with 4 bits in groups, by autoawq with its defects fixed."""

    def packed_bytes(self, assignment: Assignment, rows: int, columns: int) -> int:
        groups = rows * columns // int(assignment.parameters["group_size"])
        return (rows * columns * BITS + groups * (_SCALE_BITS + BITS)) // 8  # Zero points are always stored.

    def check(self, assignment: Assignment, context: Context) -> None:
        super().check(assignment, context)
        spec, layers = assignment.spec, self.layers(assignment)
        kind = self.folder.config.model_type
        if kind not in AWQ_CAUSAL_LM_MODEL_MAP or not self.folder.model_class.__name__.endswith("ForCausalLM"):
            reason = f"autoawq does not support {self.folder.model_class.__name__}; llm-compressor's AWQ may"
            raise TechniqueNotApplicable(technique=spec.label, reason=reason)
        choices = next(parameter.choices for parameter in spec.parameters if parameter.name == "group_size")
        require_whole_groups(spec.label, layers, int(assignment.parameters["group_size"]), choices)
        if odd := [name for name, layer in layers.items() if layer.out_features % _PACKED_ROWS]:
            reason = f"its format packs {_PACKED_ROWS} rows together, but those of {named(odd)} are not a multiple"
            raise TechniqueNotApplicable(technique=spec.label, reason=reason)

    def apply(self, assignment: Assignment, context: Context) -> Applied:
        use_threads(assignment.threads)
        rows = calibration_rows(assignment)
        with (
            tempfile.TemporaryDirectory(dir=assignment.scratch, prefix="autoawq-") as kept,
            library_at_work(assignment.spec.label, assignment.seed),
        ):
            model = self.folder.load()
            settings = self._settings(assignment)
            blocks = count(1)
            quantize(
                model, settings, rows, tell=lambda of: context.progress(0.9 * next(blocks) / of, "searching scales")
            )
            context.progress(0.95, "writing")
            model.config.quantization_config = settings.to_transformers_dict()
            model.save_pretrained(kept)
            return Applied(pack_folder(Path(kept), self.folder.path, assignment.out))

    def _settings(self, assignment: Assignment) -> AwqConfig:
        return AwqConfig(
            zero_point=assignment.parameters["zero_point"],
            q_group_size=int(assignment.parameters["group_size"]),
            w_bit=BITS,
            version="gemm",
            modules_to_not_convert=left_out(self.folder.outline, kept_names(assignment)),
        )


class MendedQuantizer(AwqQuantizer):  # type: ignore[misc]
    """autoawq's search for scales, with its defects fixed."""

    tell: Callable[[int], None]

    def _compute_best_scale(
        self, x: Tensor, w_mean: Tensor, x_mean: Tensor, module2inspect: nn.Module, *rest: Any, **more: Any
    ) -> Tensor:
        """Clone the weights: the library saves them with `.cpu()`, which copies nothing on a CPU, so every scale that
        was tried would stay in the model."""
        copying = module2inspect.register_state_dict_post_hook(_copy)
        try:
            found: Tensor = super()._compute_best_scale(x, w_mean, x_mean, module2inspect, *rest, **more)
        finally:
            copying.remove()
        return found

    def _search_best_clip(
        self, layer: nn.Module, named_linears: Mapping[str, nn.Linear], input_feat: Mapping[str, Tensor]
    ) -> Any:
        """Also exclude layers that stay in float from clipping."""
        return super()._search_best_clip(layer, self._rounded(layer, named_linears), input_feat)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _compute_best_clip(self, w: Tensor, input_feat: Tensor) -> Tensor:
        """The limit of each group that minimizes the error in the layer's outputs, `[rows, groups, 1]`.

        The library multiplies every input with every weight and refuses row counts that are not a multiple of 64. The
        same squared error d·XᵀX·d follows from XᵀX alone, for all inputs at once.
        """
        inputs = input_feat.reshape(-1, w.shape[1] // self.group_size, self.group_size).to(w)
        products = torch.einsum("tgi,tgj->gij", inputs, inputs) / len(inputs)
        groups = w.reshape(len(w), -1, self.group_size)
        largest = groups.abs().amax(-1, keepdim=True)
        best, least = largest, torch.full_like(largest, torch.inf)
        for step in range(_CLIP_STEPS):
            limit = largest * (1 - step / (2 * _CLIP_STEPS))
            clamped = groups.clamp(-limit, limit)
            error = self.pseudo_quantize_tensor(clamped.reshape_as(w))[0].reshape_as(groups) - groups
            squared = torch.einsum("rgi,gij,rgj->rg", error, products, error)[..., None]
            best, least = torch.where(squared < least, limit, best), torch.minimum(squared, least)
        return best

    def _apply_quant(self, module: nn.Module, named_linears: Mapping[str, nn.Linear]) -> None:
        """The library can exclude layers only by a part of their names, and then fails to scale the others."""
        super()._apply_quant(module, self._rounded(module, named_linears))
        self.tell(len(self.modules))

    def pseudo_quantize_tensor(self, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The library cannot pack a layer without zero points, so the middle of the grid is used."""
        rounded, scales, zeros = super().pseudo_quantize_tensor(w)
        return rounded, scales, torch.full_like(scales, 2 ** (self.w_bit - 1)) if zeros is None else zeros

    def _rounded(self, block: nn.Module, linears: Mapping[str, nn.Linear]) -> dict[str, nn.Linear]:
        alone = {id(self.model.get_submodule(name)) for name in self.left_out}
        return {name: linear for name, linear in linears.items() if id(linear) not in alone}


def quantize(
    model: PreTrainedModel,
    settings: AwqConfig,
    rows: Rows,
    *,
    scaling_only: bool = False,
    quantizer: type[AwqQuantizer] = MendedQuantizer,
    tell: Callable[[int], None] = lambda _: None,
) -> None:
    """Scale, clip and pack the linear layers of `model`, in place. `tell` receives the number of finished blocks.

    With `scaling_only`, nothing is clipped or rounded, so the model computes the same.
    """
    family = AWQ_CAUSAL_LM_MODEL_MAP[model.config.model_type]
    texts = [row["input_ids"][0].tolist() for row in rows]
    wrapped = family(model, model.config.model_type, False, model.config, settings, None)
    kind = type("Quantizer", (quantizer,), {"tell": staticmethod(tell), "left_out": settings.modules_to_not_convert})
    wrapped.quantize(
        None,
        {**settings.to_dict(), "modules_to_not_convert": None},
        calib_data=texts,
        max_calib_samples=len(texts),
        max_calib_seq_len=max(map(len, texts)),
        export_compatible=scaling_only,
        apply_clip=not scaling_only,
        quantizer_cls=kind,
    )


# --- reading --------------------------------------------------------------------------------------------------------


def load(folder: TransformersFolder, device: str) -> PreTrainedModel:
    """The model in `folder`: on CUDA with autoawq's packed layers, on a CPU with the same numbers as plain floats.

    transformers would delegate this to another library. Raises `ModelNotLoadable` for other bits and layouts, and for
    activations with their own scales, which transformers classes do not support.
    """
    settings = folder.settings["quantization_config"]
    if settings.get("bits") != BITS or str(settings.get("version", "gemm")).lower() != "gemm":
        found = f"{settings.get('bits')} bits in the layout {settings.get('version')}"
        raise ModelNotLoadable(
            reason=f"only AWQ with {BITS} bits in the layout gemm is supported, but this has {found}"
        )
    try:
        stored = {name: tensor for file in folder.weight_files for name, tensor in load_file(file).items()}
        layers = _packed_layers(stored, int(settings["group_size"]))
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AssertionError) as error:
        reason = f"its packed layers do not fit together ({' '.join(str(error).split())[:200]})"
        raise ModelNotLoadable(reason=reason) from error
    if scaled := [name for name in stored if name.endswith(".scales") and name.removesuffix(".scales") not in layers]:
        raise ModelNotLoadable(reason=f"{named(scaled)} scale an activation, which the model's class does not support")
    plain = {name: tensor for name, tensor in stored.items() if name.rpartition(".")[0] not in layers}
    dtype = folder.config.dtype or torch.float32
    for name, layer in layers.items():
        plain |= {f"{name}.{part}": tensor.to(dtype) for part, tensor in unpacked(layer).items()}
    with quiet():
        model = folder.load_as_stored("cpu", weights=plain)
    if device != "cpu":
        for name, layer in layers.items():
            model.set_submodule(name, layer)
    return model.to(device)


def unpacked(layer: WQLinear_GEMM) -> dict[str, Tensor]:
    """`weight` and, if the layer has one, `bias`: the float16 numbers that its product computes with."""
    weight = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, layer.w_bit, layer.group_size).T.contiguous()
    return {"weight": weight} if layer.bias is None else {"weight": weight, "bias": layer.bias}


def _packed_layers(stored: Mapping[str, Tensor], group_size: int) -> dict[str, WQLinear_GEMM]:
    """The packed layers in `stored`, by name."""
    found = {}
    for name in (key.removesuffix(".qweight") for key in stored if key.endswith(".qweight")):
        parts = {part: stored.get(f"{name}.{part}") for part in ("qweight", "qzeros", "scales", "bias")}
        columns, words = stored[f"{name}.qweight"].shape
        layer = WQLinear_GEMM(BITS, group_size, columns, words * _PACKED_ROWS, parts["bias"] is not None, "cpu")
        layer.load_state_dict({part: tensor for part, tensor in parts.items() if tensor is not None})
        found[name] = layer.eval()
    return found


def _copy(_module: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
    for name, tensor in state.items():
        state[name] = tensor.clone()
