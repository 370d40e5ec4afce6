"""The history behind the MemoryManager's port: rows that ended sessions leave, read for one team or for all."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from apps.agents.contracts.criteria import CountedSize, Criteria, Device, Target
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.experience import Experience as Experienced
from apps.agents.contracts.experience import Fingerprint, Learned, Provenance
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.machine import Machine
from apps.agents.contracts.state import ACTIVE, Prediction
from apps.agents.memory.fingerprints import fingerprint_of, network_similarity
from apps.agents.memory.history import MemoryManager
from apps.agents.memory.recording import experience_of
from apps.agents.planning.shared_steps import MADE_FOR_MANY
from apps.agents.session.steps import evaluate_key
from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.knowledge.tables import TABLES, Knowledge
from apps.models import clock
from apps.models.models import DataSet, ModelVersion
from apps.optimization import workers
from apps.optimization.durations import usual_s
from apps.optimization.lineage import Lineage
from apps.optimization.models import (
    Candidate,
    Experience,
    OptimizationSession,
    PipelineSettings,
    SessionFingerprint,
)
from apps.optimization.throughput import measured_throughput

logger = logging.getLogger(__name__)

SIZE_FACTOR = 100
"""Models with more than this many times the parameters, or as few, are not looked at: they are hardly similar."""
MOST_LOOKED_AT = 200
"""The newest sessions whose fingerprints are compared."""
MOST_SESSIONS = 40
"""Of those, the most similar ones, whose measurements are read. More would hardly move a prediction."""
_NUMBERS = ("kinds", "tables", "speedup", "size_ratio", "drop", "minutes")
"""What corrections are computed from."""


@dataclass(frozen=True)
class SessionHistory:
    """The `History` of a team: its own sessions and, if the operators allow it, those of the others."""

    team_id: int
    besides: UUID | None = None
    """A session that is not its own history."""
    _found: dict[int, list[tuple[UUID, Fingerprint]]] = field(default_factory=dict, repr=False, compare=False)

    def similar(self, fingerprint: Fingerprint) -> Sequence[Experienced]:
        """Of the most similar sessions, the newest first, with what corrections are computed from."""
        ranked = sorted(self.newest(fingerprint), key=lambda one: -network_similarity(one[1], fingerprint))
        found = dict(ranked[:MOST_SESSIONS])
        rows = Experience.objects.filter(fingerprint__in=found).order_by("-fingerprint__measured_at", "key")
        return [_experience(found, row) for row in rows.values("fingerprint_id", *_NUMBERS)]

    def newest(self, fingerprint: Fingerprint) -> list[tuple[UUID, Fingerprint]]:
        """The fingerprints of the newest sessions with models of about the same size. They are read once."""
        if fingerprint.parameters not in self._found:
            self._found[fingerprint.parameters] = self._read_newest(fingerprint)
        return self._found[fingerprint.parameters]

    def _read_newest(self, fingerprint: Fingerprint) -> list[tuple[UUID, Fingerprint]]:
        rows = SessionFingerprint.objects.of_about(fingerprint.parameters, SIZE_FACTOR)
        if not PipelineSettings.current().share_experience:
            rows = rows.filter(session__team=self.team_id)
        rows = rows.exclude(session=self.besides).order_by("-measured_at")
        bodies = rows.values_list("session_id", "body")[:MOST_LOOKED_AT]
        return [(key, Fingerprint.model_validate(body)) for key, body in bodies]

    def keep(self, experiences: Sequence[Experienced]) -> None:
        """Rows of one ended session, in place of those that it had."""
        if not experiences:
            return
        first = experiences[0]
        fingerprint, _ = SessionFingerprint.objects.update_or_create(
            session_id=UUID(first.provenance.session),
            defaults={
                "body": first.fingerprint.model_dump(mode="json"),
                "parameters": first.fingerprint.parameters,
                "measured_at": first.provenance.measured_at or clock.now(),
                "libraries": first.provenance.libraries,
            },
        )
        fingerprint.experiences.all().delete()
        Experience.objects.bulk_create(_row(fingerprint, one) for one in experiences)


def _experience(fingerprints: Mapping[UUID, Fingerprint], row: dict[str, Any]) -> Experienced:
    session = row.pop("fingerprint_id")
    provenance = Provenance(session=str(session))
    return Experienced(fingerprint=fingerprints[session], provenance=provenance, **row)


def _row(fingerprint: SessionFingerprint, one: Experienced) -> Experience:
    plain = one.model_dump(mode="json", exclude={"fingerprint", "provenance"})
    return Experience(fingerprint=fingerprint, key=one.provenance.candidate, **plain)


# --- reading ---------------------------------------------------------------------------------------------------------


def recalled_for(session: OptimizationSession) -> Learned:
    """What the history says about an analysed session."""
    machine = Machine.model_validate(session.analysis.body["machine"])
    fingerprint = _fingerprint(session.version, session.dataset, session.criteria, machine, session.seed)
    return MemoryManager(SessionHistory(session.team_id, session.pk)).recall(fingerprint)


def known_before(version: ModelVersion, dataset: DataSet, criteria: Criteria) -> Knowledge:
    """What is known of a session that could start now, on the machine of a live worker if there is one."""
    fingerprint = _fingerprint(version, dataset, criteria, _machine_for(criteria))
    history = SessionHistory(dataset.team_id)
    return Knowledge(
        learned=MemoryManager(history).recall(fingerprint),
        throughput=measured_throughput(history.newest(fingerprint), fingerprint),
        usual_s=usual_s(version.pk, dataset.pk),
    )


@dataclass(frozen=True)
class Recollection:
    """What predictions are based on before a session starts. The history is read once for each question to it, which
    conflicts, plan and resolutions share."""

    version: ModelVersion | None
    dataset: DataSet | None
    _known: dict[tuple[Target, CountedSize], Knowledge] = field(default_factory=dict, repr=False, compare=False)

    def of(self, criteria: Criteria) -> Knowledge:
        """The knowledge for a session under `criteria`; the tables without a model and a data set."""
        if self.version is None or self.dataset is None:
            return TABLES
        asked = (criteria.target, criteria.counted_size)
        if asked not in self._known:
            self._known[asked] = known_before(self.version, self.dataset, criteria)
        return self._known[asked]


def _machine_for(criteria: Criteria) -> Machine | None:
    """The machine of the first live worker that could measure for these criteria."""
    queue = "gpu" if criteria.target.device is Device.CUDA else "cpu"
    found = (worker for worker in workers.alive() if queue in worker.queues and worker.machine)
    worker = next(found, None)
    if worker is None:
        return None
    return Machine.model_validate(
        {name: worker.machine[name] for name in Machine.model_fields if name in worker.machine}
    )


def _fingerprint(
    version: ModelVersion, dataset: DataSet, criteria: Criteria, machine: Machine | None, seed: int | None = None
) -> Fingerprint:
    """Without a `seed`, it is not known which examples rank the candidates."""
    spec = DatasetSpec.model_validate(dataset.spec)
    reading = (version.blob_id, dataset.blob_id, spec.model_dump_json(), seed)
    material = "" if seed is None else hashlib.sha256(repr(reading).encode()).hexdigest()
    task = dataset.described.task.value
    return fingerprint_of(version.metadata.summary, task, str(spec.primary_metric), criteria, machine, material)


# --- writing ---------------------------------------------------------------------------------------------------------


def remember(session: OptimizationSession) -> int:
    """Writes down what an ended session measured. Returns how many candidates; repeating it changes nothing."""
    assert session.status not in ACTIVE, "what it measures may still change"
    experiences = experiences_of(session)
    MemoryManager(SessionHistory(session.team_id)).remember(experiences)
    return len(experiences)


def remember_safely(session: OptimizationSession) -> None:
    """`remember` at the end of a session, which a bug in it must not change: `manage.py remember` can repeat it."""
    try:
        with transaction.atomic():
            remember(session)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("What session %s measured was not remembered.", session.pk)


def experiences_of(session: OptimizationSession) -> list[Experienced]:
    """An experience for each candidate of the session that was measured. A comparison teaches nothing of techniques."""
    if session.compared_id is not None:
        return []
    rows = list(session.candidates.filter(evaluation__isnull=False).select_related("evaluation__step"))
    if not rows or not hasattr(session, "analysis"):
        return []
    machine = Machine.model_validate(session.analysis.body["machine"])
    fingerprint = _fingerprint(session.version, session.dataset, session.criteria, machine, session.seed)
    provenance = Provenance(
        session=str(session.pk),
        team=session.team.slug,
        measured_at=session.finished_at or clock.now(),
        libraries=machine.libraries,
    )
    lineage, specs = Lineage(session), catalogue()
    return [
        experience_of(
            row.chain,
            Prediction.model_validate(row.predicted),
            EvaluationReport.model_validate(row.evaluation.body),
            minutes_spent(session, row, lineage),
            fingerprint,
            provenance.model_copy(update={"candidate": row.key}),
            specs,
        )
        for row in rows
    ]


def minutes_spent(session: OptimizationSession, row: Candidate, lineage: Lineage) -> float | None:
    """What making the candidate and measuring it for the ranking took, without what is made for many, as its prediction
    counts it; `None` if that is not known."""
    ranked = session.steps.filter(key=evaluate_key(row.key)).first()
    if ranked is None:
        return None
    way = lineage.way_to(ranked.parent_key)
    steps = [step for step in way if step is way[-1] or not _is_made_for_many(step.technique)]
    durations = [step.duration_s for step in (*steps, ranked)]
    known = [seconds for seconds in durations if seconds is not None]
    return round(sum(known) / 60, 3) if len(known) == len(durations) else None


def _is_made_for_many(technique: str) -> bool:
    spec = catalogue().get(technique)
    return spec is not None and spec.family in MADE_FOR_MANY
