"""What may follow what: a quantization comes last, and every chain that sessions build today is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.agents.contracts.formats import Format
from apps.agents.planning.bases import bases_of_analyses
from apps.agents.planning.chains import Heads
from apps.agents.techniques.catalogue import BUILTIN, Family, TechniqueSpec
from apps.agents.techniques.knowledge.technique import TechniqueKnowledge
from apps.agents.techniques.order import why_not_after
from tests.agents.inmemory import resnet

SPECS = {spec.name: spec for spec in BUILTIN}


def after(later: str, *earlier: str, of: str) -> str | None:
    return why_not_after(SPECS[later], [SPECS[name] for name in earlier], of)


def _chains() -> Iterator[tuple[str, tuple[TechniqueSpec, ...]]]:
    """Each technique on what it takes: the original or an export, prepared where it asks for that."""
    for spec in BUILTIN:
        prepared = [SPECS[spec.knowledge.prepared_by]] if spec.knowledge.prepared_by else []
        for given in spec.formats:
            yield given, (*prepared, spec)
            for export in BUILTIN:
                if export.family is Family.EXPORT and export.output_format == given:
                    yield export.formats[0], (export, *prepared, spec)


@pytest.mark.parametrize(
    ("given", "chain"), list(_chains()), ids=lambda one: one if isinstance(one, str) else one[-1].name
)
def test_what_sessions_do_is_allowed(given: str, chain: tuple[TechniqueSpec, ...]) -> None:
    assert [why_not_after(spec, chain[:place], given) for place, spec in enumerate(chain)] == [None] * len(chain)


@pytest.mark.parametrize(
    ("later", "earlier", "given", "reason"),
    [
        ("onnx-dynamic-int8", ("onnx-static-int8",), Format.ONNX, "It starts from float weights, but Static int8"),
        ("onnx-graph", ("onnx-weight-only",), Format.ONNX, "It starts from float weights"),
        ("onnx-graph", ("onnx-graph",), Format.ONNX, "It has been applied already."),
        ("torch-gptq", ("onnx-export",), Format.TRANSFORMERS, "It takes a transformers folder, but the earlier"),
        ("keras-filter-pruning", ("keras-clustering",), Format.KERAS, "It makes new weights"),
        ("onnx-equalize", ("onnx-adaround",), Format.ONNX, "It changes weights"),
        ("onnx-recover", ("onnx-gptq",), Format.ONNX, "It changes weights"),
        ("onnx-gptq", ("onnx-low-bits",), Format.ONNX, "It starts from float weights"),
        ("torch-prune", ("torch-search",), Format.TORCH_EXPORT, "The widths were searched for"),
        ("torch-distill", ("torch-search",), Format.TORCH_EXPORT, "The network found was trained as a student"),
        ("torch-distill-layers", ("torch-magnitude",), Format.TRANSFORMERS, "It trains every weight"),
    ],
)
def test_what_would_undo_or_refuse_what_came_before_is_told(
    later: str, earlier: tuple[str, ...], given: str, reason: str
) -> None:
    assert (after(later, *earlier, of=given) or "").startswith(reason)


def test_what_a_search_found_may_be_trained_exported_and_quantized() -> None:
    chain = ("torch-search", "torch-recover", "onnx-export", "onnx-static-int8")
    for place, later in enumerate(chain):
        assert after(later, *chain[:place], of=Format.TORCH_EXPORT) is None


def test_a_pruned_model_may_be_exported_and_quantized() -> None:
    pruned = ("keras-filter-pruning", "litert-export")
    assert after("litert-export", "keras-filter-pruning", of=Format.KERAS) is None
    assert after("litert-static", *pruned, of=Format.KERAS) is None


def test_a_preparation_that_cannot_come_before_a_technique_is_left_out() -> None:
    """A package may name one that takes another format; its own candidates then go without."""
    world = resnet()
    bases = bases_of_analyses(world.analysis, [], world.dataset.task)
    fits = SPECS["onnx-float16"]
    wrong = fits.model_copy(update={"knowledge": TechniqueKnowledge(prepared_by="torch-half")})
    heads = Heads(bases, SPECS, lambda technique: True)
    assert [link.technique for link in heads.of(fits)] == ["onnx-graph"]
    assert heads.of(wrong) == ()


def test_an_onnx_model_is_pruned_then_trained_then_quantized() -> None:
    assert after("onnx-recover", "onnx-prune", of=Format.ONNX) is None
    for quantized in ("onnx-static-int8", "onnx-dynamic-int8"):
        assert after(quantized, "onnx-prune", "onnx-recover", of=Format.ONNX) is None
        assert (after("onnx-recover", quantized, of=Format.ONNX) or "").startswith("It starts from float weights")


@pytest.mark.parametrize("sparse", ["torch-magnitude", "torch-wanda", "torch-sparsegpt"])
def test_a_sparse_model_may_be_trained_because_its_zeros_stay(sparse: str) -> None:
    assert after("torch-recover", sparse, of=Format.TRANSFORMERS) is None
