"""The identity of a step's work (`apps.agents.contracts.identity`), read from its row."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.chain import COMPARED, MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.identity import InputFile, Work
from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.state import StepKind
from apps.agents.contracts.step_jobs import MEASURING
from apps.agents.techniques.catalogue import catalogue
from apps.optimization.lineage import format_of, further_formats, input_format, reading_of, signature_of
from apps.optimization.models import OptimizationSession, SessionStep

WITHOUT = frozenset({StepKind.PLAN, StepKind.PACKAGE, StepKind.MATRIX, StepKind.SUPERNET, StepKind.TRIALS})
"""Kinds of steps that are always carried out: they depend on everything in their session, were asked for
anew, or are taken over with the network that was found by them."""


def identity_of(step: SessionStep) -> str:
    """The identity of what `step` makes or measures; empty if it has none, or if an input is not known yet."""
    kind = StepKind(step.kind)
    if kind in WITHOUT or (kind is StepKind.OPTIMIZE and not _is_known(step)):
        return ""
    files = _files(step)
    if None in files.values():
        return ""
    session = step.session
    formats = {ORIGINAL: format_of(session.version), MODEL: input_format(step), **further_formats(step)}
    return Work(
        kind=kind,
        technique=step.technique or None,
        parameters=_parameters(step),
        inputs={role: InputFile(sha256=str(digest), format=formats[role]) for role, digest in files.items()},
        signature=signature_of(session.version),
        dataset=session.dataset.blob_id,
        reading=DatasetSpec.model_validate(reading_of(session)),
        seed=session.seed if _depends_on_seed(step) else None,
        threads=session.criteria.target.threads,
        target=session.criteria.target if kind in MEASURING else None,
        part=Part(step.parameters.get("part", Part.EVALUATION)) if kind is StepKind.EVALUATE else None,
    ).identity


def _is_known(step: SessionStep) -> bool:
    """Whether this installation has its technique, with these parameters."""
    try:
        catalogue()[step.technique].resolve(step.parameters)
    except (KeyError, ValueError):
        return False
    return True


def _depends_on_seed(step: SessionStep) -> bool:
    return step.kind != StepKind.OPTIMIZE or catalogue()[step.technique].depends_on_seed


def _parameters(step: SessionStep) -> dict[str, Any]:
    """The technique's parameters with its defaults. What an evaluation is told changes no measurement."""
    return catalogue()[step.technique].resolve(step.parameters) if step.kind == StepKind.OPTIMIZE else {}


def _files(step: SessionStep) -> dict[str, str | None]:
    """SHA-256 of each model that the step reads, by role; `None` if it is not made yet."""
    session = step.session
    read = {role: _digest(session, key) for role, key in {MODEL: ORIGINAL, **step.parents}.items()}
    return {ORIGINAL: session.version.blob_id, **read}


def _digest(session: OptimizationSession, key: str) -> str | None:
    if key == ORIGINAL:
        return session.version.blob_id
    if key == STUDENT:
        return session.student.blob_id if session.student else None
    if key == COMPARED:
        return session.compared.blob_id if session.compared else None
    maker = session.steps.filter(key=key).first()
    if maker is None:
        return None
    return maker.artifact_id or maker.result.get("digest")
