"""The columns of sessions, criteria, changed predictions, layers and events in a CSV file."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.reports.answers import ChangedAnswer
from apps.audit.models import AuditEvent
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.optimization.services.layers import LayerLine
from apps.tables import Choice, Columns, offer


def _annotated(name: str) -> Any:
    return lambda session: getattr(session, name)


SESSIONS: Columns[OptimizationSession] = {
    "id": lambda session: session.pk,
    "model": lambda session: session.version.model.name,
    "version": lambda session: session.version.number,
    "compared_with": lambda session: session.compared,
    "data_set": lambda session: session.dataset.name,
    "objective": lambda session: session.criteria_body.get("objective"),
    "status": lambda session: session.status,
    "outcome": lambda session: session.outcome,
    "times_faster": _annotated("speedup"),
    "times_smaller": _annotated("size_ratio"),
    "started_by": lambda session: session.created_by,
    "created_at": lambda session: session.created_at,
    "started_at": lambda session: session.started_at,
    "finished_at": lambda session: session.finished_at,
}
CRITERIA: Columns[CriteriaSet] = {
    "id": lambda criteria: criteria.pk,
    "name": lambda criteria: criteria.name,
    "version": lambda criteria: criteria.version,
    "team": lambda criteria: criteria.team or "built in",
    "objective": lambda criteria: criteria.body.get("objective"),
    "limits": lambda criteria: [f"{name}={value}" for name, value in criteria.body.get("constraints", {}).items()],
    "created_at": lambda criteria: criteria.created_at,
}
CHANGED_ANSWERS: Columns[ChangedAnswer] = {
    "example": lambda one: one.example,
    "group": lambda one: one.group,
    "label": lambda one: one.truth,
    "turn": lambda one: one.turn.value,
    "original": lambda one: one.original.label or one.original.numbers,
    "original_score": lambda one: one.original.score,
    "candidate": lambda one: one.candidate.label or one.candidate.numbers,
    "candidate_score": lambda one: one.candidate.score,
    "change": lambda one: one.change,
    "texts": lambda one: one.excerpt.texts,
    "values": lambda one: [f"{name}={value}" for name, value in one.excerpt.values],
}
LAYERS: Columns[LayerLine] = {
    "layer": lambda line: line.layer.name,
    "operator": lambda line: line.layer.op_type,
    "time_ms": lambda line: line.layer.time_ms,
    "time_share": lambda line: line.layer.time_share,
    "macs": lambda line: line.layer.macs,
    "weight_bytes": lambda line: line.layer.weight_bytes,
    "sensitivity_sqnr_db": lambda line: line.layer.sqnr_db,
    "original_precision": lambda line: line.original.precision if line.original else None,
    "candidate_precision": lambda line: line.candidate.precision if line.candidate else None,
    "candidate_bytes": lambda line: line.candidate.bytes if line.candidate else None,
    "candidate_operators": lambda line: line.ran.operators if line.ran else None,
    "candidate_time_ms": lambda line: line.ran.time_ms if line.ran else None,
    "candidate_time_share": lambda line: line.ran.time_share if line.ran else None,
    "asked_in_float": lambda line: line.asked_in_float,
}
EVENTS: Columns[AuditEvent] = {
    "number": lambda event: event.number,
    "at": lambda event: event.at,
    "actor_kind": lambda event: event.actor_kind,
    "actor": lambda event: event.actor,
    "action": lambda event: event.action,
    "subject": lambda event: event.subject,
    "reason": lambda event: event.reason,
    "session": lambda event: event.session_id,
    "digest": lambda event: event.digest,
}

offer(
    "sessions",
    Choice("dataset", _("Data set")),
    Choice("objective", _("Objective")),
    Choice("status", _("Status")),
    Choice("faster", _("Faster")),
    Choice("smaller", _("Smaller")),
    Choice("started", _("Started")),
    Choice("finished", _("Finished"), usual=False),
    Choice("started_by", _("Started by"), usual=False),
)
