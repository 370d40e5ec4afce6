"""Conflicts of criteria with each other and with what the portal knows, and their resolutions.

`apps.agents.planning.conflicts` decides. Here it is told what is known of workers, model, data and earlier sessions.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.reports.analysis import AnalysisReport as Analysis
from apps.agents.contracts.values import Value
from apps.agents.planning.conflicts.checking import conflicts_of, contradictions, resolution_of, resolved
from apps.agents.planning.conflicts.values import Conflict, Known, Precedence, Resolution
from apps.models.models import DataSet, ModelVersion
from apps.optimization import breakers, workers
from apps.optimization.errors.criteria import UnknownResolution
from apps.optimization.errors.starting import DataSetNotReady, SessionContradictory, VersionNotReady
from apps.optimization.memory import Recollection
from apps.optimization.models import AnalysisReport, PipelineSettings
from apps.optimization.services.foresight import earlier_evaluations
from apps.optimization.services.students import why_not_ready

MOST_ANALYSES = 10
"""How many analyses of a version are searched for one on the same target, newest first."""


class CriteriaCheck(Value):
    """The criteria as they would apply, and what conflicts in them."""

    criteria: Criteria
    applied: tuple[Resolution, ...] = ()
    """The resolutions that were applied to the request's criteria."""
    contradictory: bool
    """Whether a session is refused with them."""
    conflicts: tuple[Conflict, ...]


def checked(
    criteria: Criteria,
    version: ModelVersion | None = None,
    dataset: DataSet | None = None,
    student: ModelVersion | None = None,
    resolutions: Sequence[str] = (),
    precedence: Precedence | None = None,
    recollection: Recollection | None = None,
) -> CriteriaCheck:
    """The conflicts of `criteria` once the resolutions with these ids are applied, in whatever order they are proposed.

    `version` and `dataset` must be ready if given. `recollection` is theirs, if the caller reads the history as well.
    Raises `UnknownResolution`.
    """
    recollection = recollection or Recollection(version, dataset)
    applied: list[Resolution] = []
    pending = list(dict.fromkeys(resolutions))
    found = conflicts_of(criteria, known_of(criteria, version, dataset, student, precedence, recollection))
    while pending:
        resolution = next((one for name in pending if (one := resolution_of(found, name))), None)
        if resolution is None:
            raise UnknownResolution(field="resolutions", name=pending[0], choices=_choices(found))
        pending.remove(resolution.id)
        applied.append(resolution)
        criteria = resolved(criteria, resolution)
        found = conflicts_of(criteria, known_of(criteria, version, dataset, student, precedence, recollection))
    return CriteriaCheck(
        criteria=criteria, applied=tuple(applied), contradictory=bool(contradictions(found)), conflicts=found
    )


def checked_with_rows(
    criteria: Criteria,
    version: ModelVersion | None,
    dataset: DataSet | None,
    student: ModelVersion | None = None,
    resolutions: Sequence[str] = (),
    precedence: Precedence | None = None,
) -> CriteriaCheck:
    """The same for rows that a request names. Raises also `VersionNotReady` and `DataSetNotReady`."""
    for field, one in (("version", version), ("student", student)):
        if one is not None and not one.ready:
            raise VersionNotReady(field=field, version=one, state=why_not_ready(one))
    if dataset is not None and not dataset.ready:
        raise DataSetNotReady(field="dataset", dataset=dataset, state=why_not_ready(dataset))
    return checked(criteria, version, dataset, student, resolutions, precedence)


def require_sound(check: CriteriaCheck) -> None:
    """Raises `SessionContradictory` with all conflicts, if one of them is a contradiction."""
    if check.contradictory:
        raise SessionContradictory(check.conflicts)


def known_of(
    criteria: Criteria,
    version: ModelVersion | None = None,
    dataset: DataSet | None = None,
    student: ModelVersion | None = None,
    precedence: Precedence | None = None,
    recollection: Recollection | None = None,
) -> Known:
    """What is known now. `version` and `dataset` must be ready if given."""
    spec = DatasetSpec.model_validate(dataset.spec) if dataset else None
    return Known(
        libraries=tuple(sorted(workers.libraries())),
        disabled=tuple(PipelineSettings.current().disabled_techniques),
        paused=breakers.paused_techniques(),
        model=version.metadata.summary if version else None,
        student=student.metadata.summary if student else None,
        dataset=dataset.described if dataset else None,
        spec=spec,
        earlier=tuple(earlier_evaluations(version, dataset, spec)) if version and dataset and spec else (),
        latency_ms=_latency_ms(version, criteria) if version else None,
        precedence=precedence,
        knowledge=(recollection or Recollection(version, dataset)).of(criteria),
    )


def _latency_ms(version: ModelVersion, criteria: Criteria) -> float | None:
    """The latency of `version` on the criteria's target in its newest analysis there; `None` if it has none."""
    if criteria.constraints.max_latency_ms is None:
        return None
    rows = AnalysisReport.objects.filter(session__version=version).select_related("session", "step")
    for row in rows.order_by("-created_at")[:MOST_ANALYSES]:
        if row.session.criteria.target == criteria.target:
            return Analysis.model_validate(row.body).latency.p50_ms
    return None


def _choices(found: Sequence[Conflict]) -> str:
    names = [one.id for conflict in found for one in conflict.resolutions]
    return _("Choose from: {names}").format(names=", ".join(names)) if names else _("They propose none")
