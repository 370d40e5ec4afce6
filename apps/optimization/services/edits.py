"""A member's edits of a plan before the start: what is wrong with them, and the layers that may stay in float."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.plan_edits import NO_EDITS, PlanEdits
from apps.agents.contracts.reports.analysis import AnalysisReport as Analysis
from apps.agents.contracts.reports.analysis import Layer
from apps.agents.contracts.values import Value
from apps.agents.planning.agent import PlanningAgent
from apps.agents.planning.availability import Sorting
from apps.agents.planning.bases import bases_of_model
from apps.agents.planning.drafts import Drafts
from apps.agents.planning.edit_checks import WrongEdit, wrong_edits
from apps.agents.planning.minutes import Minutes
from apps.models.models import DataSet, ModelVersion
from apps.optimization import breakers, workers
from apps.optimization.errors.starting import PlanEditsInvalid
from apps.optimization.lineage import exported_analyses
from apps.optimization.models import AnalysisReport


class AnalysedLayers(Value):
    """The layers of one form of a model, as an earlier session's analysis found them."""

    session: UUID
    format: str
    layers: tuple[Layer, ...]


def parse_edits(body: PlanEdits | Mapping[str, Any] | None) -> PlanEdits:
    """`body` as `PlanEdits`. Raises `PlanEditsInvalid`, which lists every invalid field with its value."""
    if body is None:
        return NO_EDITS
    if isinstance(body, PlanEdits):
        return body
    try:
        return PlanEdits.model_validate(dict(body))
    except ValidationError as error:
        raise PlanEditsInvalid([_problem(entry) for entry in error.errors(include_url=False)]) from error


def _problem(entry: Mapping[str, Any]) -> dict[str, str]:
    given = "" if isinstance(entry["input"], dict) else f" (given: {entry['input']!r})"
    shown = given if len(given) <= 200 else f"{given[:200]}…)"
    return {"field": ".".join(map(str, entry["loc"])), "code": entry["type"], "message": f"{entry['msg']}{shown}"}


def drafts_for(
    version: ModelVersion, dataset: DataSet, criteria: Criteria, student: ModelVersion | None = None
) -> Drafts:
    """What makes candidates of chains that a member names for a session that has not started."""
    data = dataset.described
    bases = bases_of_model(version.metadata.summary, data.task, student.metadata.summary if student else None)
    libraries = tuple(sorted(workers.libraries()))
    disabled = breakers.left_out()
    return PlanningAgent().drafts(Sorting(bases, criteria, data, libraries, disabled), Minutes(criteria, data))


def wrong_edits_of(
    edits: PlanEdits,
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria,
    student: ModelVersion | None = None,
) -> list[WrongEdit]:
    """Everything for which a session with these edits would be refused."""
    if not edits.count:
        return []
    known = layers_of(version) if edits.kept_layers else ()
    names = [layer.name for form in known for layer in form.layers]
    return wrong_edits(edits, drafts_for(version, dataset, criteria, student), names if known else None)


def check_edits(
    edits: PlanEdits,
    version: ModelVersion,
    dataset: DataSet,
    criteria: Criteria,
    student: ModelVersion | None = None,
) -> None:
    """Raises `PlanEditsInvalid` with everything that is wrong with the edits."""
    if wrong := wrong_edits_of(edits, version, dataset, criteria, student):
        raise PlanEditsInvalid([one.model_dump() for one in wrong])


def layers_of(version: ModelVersion) -> tuple[AnalysedLayers, ...]:
    """The layers of `version` and of its exports from the newest analysis; empty if it was never analysed."""
    newest = (
        AnalysisReport.objects.filter(session__version=version)
        .select_related("step", "session")
        .order_by("-created_at")
        .first()
    )
    if newest is None:
        return ()
    analyses = [Analysis.model_validate(body) for body in (newest.body, *exported_analyses(newest.session))]
    return tuple(
        AnalysedLayers(session=newest.session_id, format=one.model.format, layers=one.layers) for one in analyses
    )
