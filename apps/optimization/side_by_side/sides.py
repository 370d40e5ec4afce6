"""The rows behind the items of a comparison, read with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from apps.accounts.models import User
from apps.agents.contracts.reports.evaluation import EvaluationReport, Part
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import CandidateStatus, Status, StepKind, Verdict
from apps.agents.session.comparing import KEY as COMPARED_KEY
from apps.agents.session.finalists import at_level
from apps.models.models import ModelVersion
from apps.optimization.errors.side_by_side import ComparedItemUnknown, ComparedTeamsDiffer
from apps.optimization.lineage import Lineage, Link, format_of_candidate
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.side_by_side.readings import Reading, Role, reading_of
from apps.optimization.side_by_side.selection import PARAMETER, Item, Kind
from apps.optimization.side_by_side.version_readings import MeasuredOn, VersionReading, readings_of


@dataclass(frozen=True)
class Side:
    """One item with everything that is known of it."""

    item: Item
    title: str
    url: str
    version: ModelVersion
    """The version itself, or the original of the session."""
    session: OptimizationSession | None = None
    candidate: Candidate | None = None
    """`None` if the original stands, or nothing was measured."""
    report: EvaluationReport | None = None
    reading: Reading | None = None
    measured: VersionReading | None = None
    """For a version: where the reading is from."""
    machine: str = ""
    chain: tuple[Link, ...] = ()
    format: str = ""
    summary: ModelSummary | None = None
    """Of the file, if it was inspected."""
    aliases: tuple[str, ...] = ()
    size_bytes: float | None = None
    """Of the file, even if nothing was measured."""


@dataclass(frozen=True)
class Sides:
    """All items of a comparison. For versions, `dataset` is the one all readings are from."""

    all: tuple[Side, ...]
    dataset: MeasuredOn | None = None
    datasets: tuple[MeasuredOn, ...] = field(default=())

    @property
    def of_versions(self) -> bool:
        return self.all[0].item.kind is Kind.VERSION


def sides_of(items: Sequence[Item], user: User, dataset: int | None = None) -> Sides:
    """The items, as far as `user` may see them.

    Raises `ComparedItemUnknown` for the first that there is not or that belongs to a team of others, and
    `ComparedTeamsDiffer`.
    """
    if items[0].kind is Kind.VERSION:
        return _of_versions(items, user, dataset)
    return _of_sessions(items, user)


def _one_team(teams: Iterable[Any]) -> None:
    names = sorted({str(team) for team in teams})
    if len(names) > 1:
        raise ComparedTeamsDiffer(field=PARAMETER, teams=", ".join(names))


# --- versions ---------------------------------------------------------------------------------------------------------


def _of_versions(items: Sequence[Item], user: User, dataset: int | None) -> Sides:
    rows = ModelVersion.objects.visible_to(user).filter(pk__in=[item.version for item in items])
    found = {row.pk: row for row in rows.select_related("model__team", "blob", "metadata").prefetch_related("aliases")}
    _check_found(items, lambda item: item.version in found)
    _one_team(row.model.team for row in found.values())
    readings = readings_of(list(found.values()), dataset)
    chains = _chains_of_versions(list(found.values()), user)
    sides = tuple(
        _version_side(item, found[item.version], readings.by_version.get(item.version), chains) for item in items
    )
    return Sides(sides, readings.dataset, readings.datasets)


def _version_side(
    item: Item, version: ModelVersion, measured: VersionReading | None, chains: Mapping[int, tuple[Link, ...]]
) -> Side:
    metadata = getattr(version, "metadata", None)
    return Side(
        item=item,
        title=str(version),
        url=version.get_absolute_url(),
        version=version,
        reading=measured.reading if measured else None,
        measured=measured,
        machine=measured.machine if measured else "",
        chain=chains.get(version.pk, ()),
        format=str(metadata.format) if metadata else "",
        summary=metadata.summary if metadata else None,
        aliases=tuple(alias.name for alias in version.aliases.all()),
        size_bytes=version.blob.size_bytes,
    )


def _chains_of_versions(versions: Sequence[ModelVersion], user: User) -> dict[int, tuple[Link, ...]]:
    """By version: the chain of the candidate that it was, if a session made it."""
    made = {one.pk: one.source_session for one in versions if one.source_session}
    if not made:
        return {}
    sessions = OptimizationSession.objects.visible_to(user).filter(pk__in=set(made.values())).defer("plan")
    lineages = _lineages({row.pk: row for row in sessions})
    rows = list(Candidate.objects.filter(session__in=lineages).select_related("session"))
    found = {}
    for version in versions:
        for row in rows:
            if row.session_id != version.source_session:
                continue
            links = lineages[row.session_id].links(row)
            if links and links[-1].step == version.source_step:
                found[version.pk] = links
                break
    return found


# --- sessions and candidates ------------------------------------------------------------------------------------------


def _of_sessions(items: Sequence[Item], user: User) -> Sides:
    rows = OptimizationSession.objects.visible_to(user).filter(pk__in={item.session for item in items})
    related = ("team", "version__model", "version__metadata", "version__blob", "dataset", "criteria_set")
    compared = ("compared__model", "compared__metadata", "compared__blob")
    sessions = {row.pk: row for row in rows.select_related(*related, *compared).defer("plan")}
    _check_found(items, lambda item: item.session in sessions)
    _one_team(row.team for row in sessions.values())
    keys = {item: item.candidate or _delivered(sessions[_id(item)]) for item in items}
    candidates = _candidates(sessions)
    _check_found(items, lambda item: item.kind is Kind.SESSION or (item.session, item.candidate) in candidates)
    chosen = {item: candidates.get((_id(item), keys[item])) for item in items}
    beside = {item: _shown(sessions[_id(item)], row, candidates) for item, row in chosen.items()}
    _read_results([row for row in beside.values() if row is not None])
    lineages = _lineages(sessions)
    return Sides(
        tuple(_session_side(item, sessions[_id(item)], chosen[item], beside[item], lineages) for item in items)
    )


def _check_found(items: Iterable[Item], known: Any) -> None:
    for item in items:
        if not known(item):
            raise ComparedItemUnknown(field=PARAMETER, item=str(item))


def _id(item: Item) -> UUID:
    assert item.session is not None, "not of a version"
    return item.session


def _delivered(session: OptimizationSession) -> str:
    """The key of what the session is about: what it delivers, or the version that it compared. Empty: the original."""
    if session.compared_id is not None:
        return COMPARED_KEY
    return (Verdict.model_validate(session.verdict).candidate or "") if session.verdict else ""


def _candidates(sessions: Mapping[UUID, OptimizationSession]) -> dict[tuple[UUID, str], Candidate]:
    rows = Candidate.objects.filter(session__in=sessions).select_related("evaluation__step").order_by("pk")
    found = {}
    for row in rows.defer("evaluation__step__result", "evaluation__step__curves"):
        row.session = sessions[row.session_id]
        found[row.session_id, row.key] = row
    return found


def _read_results(rows: Iterable[Candidate]) -> None:
    """Reads what the evaluations of these candidates found, with one query."""
    steps = {row.evaluation.step_id: row.evaluation.step for row in rows}
    for pk, result in SessionStep.objects.filter(pk__in=steps).values_list("pk", "result"):
        steps[pk].result = result
    for row in rows:
        row.evaluation.step = steps[row.evaluation.step_id]


def _lineages(sessions: Mapping[UUID, OptimizationSession]) -> dict[UUID, Lineage]:
    """The steps of all sessions, read together. The results of evaluations are left in the database."""
    steps: dict[UUID, list[SessionStep]] = {pk: [] for pk in sessions}
    of_sessions = SessionStep.objects.filter(session__in=sessions).select_related("artifact").order_by("pk")
    for step in of_sessions.filter(kind=StepKind.OPTIMIZE):
        steps[step.session_id].append(step)
    for step in of_sessions.filter(kind=StepKind.EVALUATE).defer("result"):
        steps[step.session_id].append(step)
    return {pk: Lineage(row, steps[pk]) for pk, row in sessions.items()}


def _session_side(
    item: Item,
    session: OptimizationSession,
    candidate: Candidate | None,
    measured: Candidate | None,
    lineages: Mapping[UUID, Lineage],
) -> Side:
    """`measured` is whose evaluation is shown: of the candidate, or beside which the original ran."""
    report, lineage = _report(session, measured), lineages[session.pk]
    links = lineage.links(candidate) if candidate is not None and session.compared is None else ()
    file = session.compared or (session.version if candidate is None else None)
    return Side(
        item=item,
        title=_title(item, session, candidate),
        url=_url(item, session, candidate),
        version=session.version,
        session=session,
        candidate=candidate,
        report=report if candidate else None,
        reading=reading_of(report, Role.CANDIDATE if candidate else Role.ORIGINAL) if report else None,
        machine=report.machine.hostname if report else "",
        chain=links,
        format=format_of_candidate(session, candidate) if candidate else str(session.version.metadata.format),
        summary=file.metadata.summary if file else _summary(lineage, candidate),
        size_bytes=file.blob.size_bytes if file else (links[-1].size_bytes if links else None),
    )


def _shown(
    session: OptimizationSession, candidate: Candidate | None, candidates: Mapping[tuple[UUID, str], Candidate]
) -> Candidate | None:
    """Whose evaluation is shown. If the original stands, the last one beside which it ran, on the test part if any."""
    if candidate is not None:
        return candidate if hasattr(candidate, "evaluation") else None
    if not session.verdict:
        return None
    own = [row for (pk, _), row in candidates.items() if pk == session.pk and hasattr(row, "evaluation")]
    judged = [row for row in own if row.evaluation.step.parameters.get("part", Part.EVALUATION) == Part.EVALUATION]
    return max(judged or own, key=lambda row: row.evaluation.created_at, default=None)


def _report(session: OptimizationSession, measured: Candidate | None) -> EvaluationReport | None:
    """An evaluation. What a session delivers has the intervals with which it was proven."""
    if measured is None:
        return None
    report = EvaluationReport.model_validate(measured.evaluation.body)
    verdict = Verdict.model_validate(session.verdict) if session.verdict else None
    if verdict and verdict.choice and verdict.candidate == measured.key:
        return at_level(report, verdict.choice.sharing)
    return report


def _summary(lineage: Lineage, candidate: Candidate | None) -> ModelSummary | None:
    """What inspection found in the candidate's file; `None` for older steps."""
    maker = lineage.makers.get(candidate.key) if candidate else None
    found = maker.result.get("model") if maker and maker.kind == StepKind.OPTIMIZE else None
    return ModelSummary.model_validate(found) if found else None


def _title(item: Item, session: OptimizationSession, candidate: Candidate | None) -> str:
    if session.compared is not None:
        what = _("{compared} against {version}").format(compared=session.compared, version=session.version)
    elif candidate is not None:
        what = f"{session.version} · {candidate.key} {candidate.title}"
    else:
        what = f"{session.version} · {_('original') if session.verdict else _('no result yet')}"
    begun = date_format(localtime(session.created_at), _("j M Y, H:i"))
    return f"{what} · {begun}" if item.kind is Kind.SESSION else what


def _url(item: Item, session: OptimizationSession, candidate: Candidate | None) -> str:
    if session.status != Status.COMPLETED or session.verdict is None:
        return session.get_absolute_url()
    selected = candidate is None or candidate.status == CandidateStatus.SELECTED or item.kind is Kind.SESSION
    return reverse("optimization:report", args=[session.pk]) + ("" if selected else f"#candidate-{item.candidate}")
