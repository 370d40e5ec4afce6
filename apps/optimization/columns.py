"""The columns of sessions, criteria, changed predictions, layers, events, workers and links, in lists and CSV files."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from apps.agents.contracts.reports.answers import ChangedAnswer
from apps.audit.models import AuditEvent
from apps.listings import Column, Kind, Listing, offer
from apps.optimization.models import CriteriaSet, OptimizationSession, ReportLink, SessionTemplate, Worker
from apps.optimization.services.layers import LayerLine
from apps.tables import Columns

SESSIONS: Columns[OptimizationSession] = {
    "id": lambda session: session.pk,
    "model": lambda session: session.version.model.name,
    "version": lambda session: session.version.number,
    "compared_with": lambda session: session.compared,
    "data_set": lambda session: session.dataset.name,
    "objective": lambda session: session.criteria_body.get("objective"),
    "status": lambda session: session.status,
    "outcome": lambda session: session.outcome,
    "times_faster": lambda session: session.speedup,
    "times_smaller": lambda session: session.size_ratio,
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

WORKERS: Columns[Worker] = {
    "name": lambda worker: worker.name,
    "queues": lambda worker: worker.queues,
    "cpu": lambda worker: worker.machine.get("cpu"),
    "cores": lambda worker: worker.machine.get("cores"),
    "memory_bytes": lambda worker: worker.machine.get("memory_bytes"),
    "accelerators": lambda worker: worker.machine.get("accelerators", []),
    "code": lambda worker: worker.code,
    "started_at": lambda worker: worker.started_at,
    "seen_at": lambda worker: worker.seen_at,
}
LINKS: Columns[ReportLink] = {
    "id": lambda link: link.pk,
    "made_at": lambda link: link.created_at,
    "made_by": lambda link: link.created_by,
    "open_until": lambda link: link.expires_at,
    "state": lambda link: link.state,
}

TEMPLATES: Columns[SessionTemplate] = {
    "id": lambda template: template.pk,
    "name": lambda template: template.name,
    "default": lambda template: template.is_default,
    "model": lambda template: template.model.name,
    "data_set": lambda template: template.dataset.name if template.dataset else None,
    "criteria": lambda template: template.criteria_set,
    "made_by": lambda template: template.created_by,
    "made_at": lambda template: template.created_at,
}

LIST_OF_SESSIONS = offer(
    Listing(
        "sessions",
        "optimization:session-list",
        "history",
        (
            Column("model", _("Model"), ordering="model", by=("version__model__name", "version__number")),
            Column("dataset", _("Data set"), ordering="dataset", by=("dataset__name",)),
            Column("objective", _("Objective"), ordering="objective", by=("criteria_body__objective",)),
            Column("status", _("Status"), ordering="status", by=("status", "-created_at")),
            Column("faster", _("Faster"), ordering="speedup", kind=Kind.NUMBER),
            Column("smaller", _("Smaller"), ordering="size_ratio", kind=Kind.NUMBER),
            Column("started", _("Started"), ordering="created_at", kind=Kind.TIME),
            Column("finished", _("Finished"), usual=False, ordering="finished_at", kind=Kind.TIME),
            Column("started_by", _("Started by"), usual=False, ordering="created_by", by=("created_by__email",)),
        ),
        usual="-created_at",
    )
)
LIST_OF_CRITERIA = offer(
    Listing(
        "criteria",
        "optimization:criteria-list",
        "criteria-results",
        (
            Column("name", _("Name"), ordering="name"),
            Column("objective", _("Objective"), ordering="objective", by=("body__objective",)),
            Column("version", _("Version"), ordering="version", kind=Kind.NUMBER),
            Column("changed", _("Changed"), ordering="created_at", kind=Kind.TIME),
        ),
        usual="name",
        cards=True,
    )
)
LIST_OF_TEMPLATES = offer(
    Listing(
        "templates",
        "optimization:template-list",
        "template-results",
        (
            Column("name", _("Template"), ordering="name"),
            Column("model", _("Model"), ordering="model", by=("model__name", "-is_default", "name")),
            Column("dataset", _("Data set"), ordering="dataset", by=("dataset__name",)),
            Column("criteria", _("Criteria"), ordering="criteria_set", by=("criteria_set__name",)),
            Column("made", _("Made"), ordering="created_at", kind=Kind.TIME),
            Column("made_by", _("Made by"), usual=False, ordering="created_by", by=("created_by__email",)),
        ),
        usual="model",
    )
)
LIST_OF_EVENTS = offer(
    Listing(
        "audit",
        "optimization:audit",
        "audit",
        (
            Column("number", "#", ordering="sequence", kind=Kind.NUMBER),
            # The chain grows with time, and has an index.
            Column("when", _("When"), ordering="at", by=("sequence",), kind=Kind.TIME),
            Column("who", _("Who"), ordering="actor"),
            Column("what", _("What"), ordering="action"),
            Column("subject", _("Subject")),
            Column("why", _("Why")),
        ),
        usual="-sequence",
    )
)
LIST_OF_LAYERS = Listing(
    "layers",
    "optimization:session-layer-table",
    "layers",
    (
        Column("layer", _("Layer"), ordering="layer"),
        Column("operator", _("Operator"), ordering="operator"),
        Column("time", _("Time"), ordering="time", kind=Kind.NUMBER),
        Column("macs", "MACs", ordering="macs", kind=Kind.NUMBER),
        Column("bytes", _("Bytes"), ordering="bytes", kind=Kind.NUMBER),
        Column("sensitivity", _("Sensitivity"), ordering="sensitivity", kind=Kind.NUMBER),
        Column("precision", _("Precision"), ordering="precision"),
    ),
    usual="",
)
"""In the order of the graph until a column is asked for. Its page is one of a session, and keeps no filters."""
