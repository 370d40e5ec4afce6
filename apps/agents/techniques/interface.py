"""Whether one model can take another's place: the same inputs and outputs. It imports no heavy library."""

from __future__ import annotations

from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec


def interface_difference(before: ModelSummary, after: ModelSummary, *, may_fix_batch: bool = False) -> str | None:
    """A difference between the inputs and outputs of two models, in words; `None` if callers cannot see one.

    In an output, an unknown axis may have become known. In an input, a free axis must stay free, except the batch,
    which may have become 1 if `may_fix_batch`.
    """
    for kind, old, new in (("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs)):
        if [spec.name for spec in old] != [spec.name for spec in new]:
            return f"its {kind}s are {', '.join(map(str, new))} instead of {', '.join(map(str, old))}"
        for wanted, found in zip(old, new, strict=True):
            if may_fix_batch and found.shape[:1] == (1,) and wanted.shape and not isinstance(wanted.shape[0], int):
                wanted = wanted.model_copy(update={"shape": (1, *wanted.shape[1:])})
            if wanted.dtype != found.dtype or not _same_axes(wanted, found, refined=kind == "output"):
                return f"its {kind} is {found} instead of {wanted}"
    return None


def in_place_of(wanted: ModelSummary, given: ModelSummary) -> ModelSummary:
    """`given` with the names of `wanted`'s outputs, by their order, where its format names them after operators."""
    if given.format != Format.TORCH_EXPORT or len(given.outputs) != len(wanted.outputs):
        return given
    pairs = zip(wanted.outputs, given.outputs, strict=True)
    return given.model_copy(
        update={"outputs": tuple(found.model_copy(update={"name": named.name}) for named, found in pairs)}
    )


def _same_axes(wanted: TensorSpec, found: TensorSpec, *, refined: bool) -> bool:
    if refined and not wanted.shape:  # A shape that the file leaves open.
        return True
    return len(wanted.shape) == len(found.shape) and all(
        old == new or (not isinstance(old, int) and (refined or not isinstance(new, int)))
        for old, new in zip(wanted.shape, found.shape, strict=True)
    )
