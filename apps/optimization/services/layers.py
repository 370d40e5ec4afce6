"""The layers of a session's model, and what a candidate stores of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from apps.agents.contracts.phrasing import listed
from apps.agents.contracts.reports.analysis import AnalysisReport, Layer
from apps.agents.contracts.reports.answers import RanOperator
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import StepKind, Verdict
from apps.agents.contracts.values import Value
from apps.agents.files import answers_file
from apps.agents.measuring.operator_times import CONVERSIONS
from apps.models.storage import local_path
from apps.optimization.errors.results import CandidateUnknown, NoLayers
from apps.optimization.lineage import Lineage
from apps.optimization.models import KeptAnswers, OptimizationSession
from apps.optimization.side_by_side.layers import LayerCell, stored_layers

_NODE = re.compile(r"^/(?P<path>.+)/[^/]+$")
"""A node of an exported module: `/blocks.0/body/Conv` is the layer `blocks.0.body`."""
_KEPT = ("keep_float_nodes", "keep_float_operators")
"""Parameters of techniques that name layers, or operators, which stay in float."""


class Stored(Value):
    """What a file stores of a layer: its number type, and the bytes with scales."""

    precision: str
    bytes: float


class Ran(Value):
    """What a candidate's runtime ran for a layer when the candidate was judged."""

    operators: tuple[str, ...]
    """The runtime's names; conversions of numbers come last."""
    time_ms: float
    time_share: float
    """Of the time of all operators, 0 to 1."""


class LayerLine(Value):
    """One layer. What is not known is `None`, never 0."""

    layer: Layer
    original: Stored | None
    candidate: Stored | None
    ran: Ran | None
    """`None` if the candidate was not judged, or if its runtime runs the layer as a part of another."""
    asked_in_float: bool
    """Whether the candidate's techniques were told to leave it in float."""


class SessionLayers(Value):
    """The layers of the original in the order of its graph, beside those of a candidate."""

    session: UUID
    format: str
    """Of the original, whose analysis names the layers."""
    candidate: str | None
    title: str
    candidates: tuple[str, ...]
    """The keys of all candidates whose stored tensors are known."""
    lines: tuple[LayerLine, ...]


def session_layers(session: OptimizationSession, candidate: str = "") -> SessionLayers:
    """The layers beside those of `candidate`; without one, of what the session delivers, or of none.

    Raises `NoLayers` before the analysis, and `CandidateUnknown`.
    """
    if not hasattr(session, "analysis"):
        raise NoLayers(status=session.status)
    analysis = AnalysisReport.model_validate(session.analysis.body)
    files = _files(session)
    key = candidate or _delivered(session)
    if candidate and candidate not in files:
        raise CandidateUnknown(field="candidate", candidate=candidate, known=listed(list(files)) or "none")
    summary, requested = files.get(key, (None, frozenset[str]()))
    original = stored_layers(analysis.model)
    made, ran = stored_layers(summary) if summary else {}, _ran(session, key)
    return SessionLayers(
        session=session.pk,
        format=analysis.model.format,
        candidate=key if key in files else None,
        title=session.candidates.get(key=key).title if key in files else "",
        candidates=tuple(files),
        lines=tuple(
            LayerLine(
                layer=layer,
                original=stored_of(layer.name, original),
                candidate=stored_of(layer.name, made),
                ran=ran.get(layer.name),
                asked_in_float=bool(requested & {layer.name, layer.op_type}),
            )
            for layer in analysis.layers
        ),
    )


def stored_of(name: str, tensors: Mapping[str, LayerCell]) -> Stored | None:
    """What a file with these `tensors` stores of the layer `name`; `None` if none of them is called after it."""
    found = _called_after(name, tensors)
    if not found:
        return None
    largest = max(found, key=lambda cell: cell.bytes or 0.0)
    return Stored(precision=largest.dtype, bytes=sum(cell.bytes or 0.0 for cell in found))


def _called_after(name: str, tensors: Mapping[str, LayerCell]) -> list[LayerCell]:
    node = _NODE.match(name)
    path = _module_of(node["path"]) if node else name
    begins = tuple(f"{one}{mark}" for one in dict.fromkeys((name, path)) for mark in ("./" if one else ""))
    own = [cell for tensor, cell in tensors.items() if tensor in (name, path)]
    return own + [cell for tensor, cell in tensors.items() if _is_part(tensor, begins)]


def _is_part(tensor: str, begins: tuple[str, ...]) -> bool:
    """Whether a tensor is a layer's own, and not that of a layer inside it: one word follows the layer's name."""
    return any(tensor.startswith(begin) and not re.search(r"[./]", tensor[len(begin) :]) for begin in begins)


def _module_of(path: str) -> str:
    """`blocks/blocks.0/body` as the path of the module, `blocks.0.body`."""
    found = ""
    for part in path.split("/"):
        found = part if part.startswith(f"{found}.") or not found else f"{found}.{part}"
    return found


def _delivered(session: OptimizationSession) -> str:
    return (Verdict.model_validate(session.verdict).candidate or "") if session.verdict else ""


def _files(session: OptimizationSession) -> dict[str, tuple[ModelSummary, frozenset[str]]]:
    """By key: what each candidate's file contains, and the layers and operators that were to stay in float."""
    steps = session.steps.filter(kind=StepKind.OPTIMIZE).exclude(result={})
    made = {step.key: step.result.get("model") for step in steps}
    lineage, found = Lineage(session), {}
    for row in session.candidates.order_by("pk"):
        links = lineage.links(row)
        body = made.get(links[-1].step or "") if links else None
        if body:
            requested = frozenset(name for link in row.chain for name in _kept(link.parameters))
            found[row.key] = (ModelSummary.model_validate(body), requested)
    return found


def _ran(session: OptimizationSession, candidate: str) -> dict[str, Ran]:
    """By layer: what the runtime ran when `candidate` was judged last."""
    kept = KeptAnswers.objects.of_candidates(session.pk).filter(step__candidate_key=candidate).last()
    if kept is None:
        return {}
    with local_path(kept.blob) as path:
        operators = answers_file.read_ran(path)
    total_ms = sum(one.time_ms for one in operators) or 1.0
    by_layer: dict[str, list[RanOperator]] = {}
    for one in sorted(operators, key=lambda one: one.operator in CONVERSIONS):
        by_layer.setdefault(one.layer, []).append(one)
    return {name: _ran_together(found, total_ms) for name, found in by_layer.items() if name}


def _ran_together(operators: Sequence[RanOperator], total_ms: float) -> Ran:
    time_ms = sum(one.time_ms for one in operators)
    names = (f"{one.operator} on {one.dequantized}" if one.dequantized else one.operator for one in operators)
    return Ran(operators=tuple(dict.fromkeys(names)), time_ms=time_ms, time_share=time_ms / total_ms)


def _kept(parameters: Mapping[str, Any]) -> list[str]:
    """The layers and operators that parameters of a technique name as kept in float."""
    return [str(one) for name in _KEPT for one in parameters.get(name) or ()]
