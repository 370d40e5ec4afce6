"""What sessions have measured of versions: as their original, as what they made, or as what they compared.

Numbers from different data sets do not belong side by side, so all readings of one answer are from one data set: the
one on which most of the versions were measured, or the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.agents.contracts.reports.evaluation import Part
from apps.agents.contracts.values import Value
from apps.models.models import ModelVersion
from apps.optimization.models import EvaluationReport
from apps.optimization.side_by_side.readings import Measured, Reading, Role, reading_of


class MeasuredOn(Value):
    """A data set, and how many of the versions were measured on it."""

    id: int
    name: str
    versions: int


class VersionReading(Value):
    """The newest measurement of a version on a data set, on the test part if there is one."""

    session: UUID
    candidate: str
    """The key of the candidate that was measured: the version itself, or what it was compared with as the original."""
    at: datetime
    machine: str
    """The host on which it was timed."""
    reading: Reading


@dataclass(frozen=True)
class VersionReadings:
    """By version: its measurement on the data set `dataset`; nothing if there is none."""

    dataset: MeasuredOn | None
    """`None` if no version was measured."""
    datasets: tuple[MeasuredOn, ...]
    """All on which any of them was measured, the one with most versions first."""
    by_version: dict[int, VersionReading]


@dataclass(frozen=True)
class _Look:
    """One evaluation as far as the choice among them needs it."""

    version: int
    dataset: int
    dataset_name: str
    evaluation: int
    role: Role
    session: UUID
    candidate: str
    at: datetime
    judged: bool

    @property
    def rank(self) -> tuple[bool, datetime, bool]:
        return self.judged, self.at, self.role is Role.CANDIDATE


def row_id(given: str | None) -> int | None:
    """A row's id in an address; `None` for anything that is not an id."""
    return int(given) if given and given.isascii() and given.isdecimal() and len(given) < 19 else None


def readings_of(versions: Sequence[ModelVersion], dataset: int | None = None) -> VersionReadings:
    """The measurements of `versions` on the data set with the id `dataset`, or on the one that fits most of them."""
    best: dict[tuple[int, int], _Look] = {}
    for look in _looks(versions):
        key = (look.dataset, look.version)
        if key not in best or look.rank > best[key].rank:
            best[key] = look
    datasets = _datasets(best.values())
    chosen = next((one for one in datasets if dataset in (None, one.id)), None)
    if chosen is None:
        return VersionReadings(None, datasets, {})
    looks = [look for look in best.values() if look.dataset == chosen.id]
    return VersionReadings(chosen, datasets, _read(looks))


def _datasets(looks: Iterable[_Look]) -> tuple[MeasuredOn, ...]:
    by_dataset: dict[int, list[_Look]] = {}
    for look in looks:
        by_dataset.setdefault(look.dataset, []).append(look)
    ordered = sorted(by_dataset.values(), key=lambda found: (-len(found), -max(one.at for one in found).timestamp()))
    return tuple(MeasuredOn(id=one[0].dataset, name=one[0].dataset_name, versions=len(one)) for one in ordered)


def _looks(versions: Sequence[ModelVersion]) -> Iterable[_Look]:
    pks = {version.pk for version in versions}
    made = {(one.source_session, one.source_step): one.pk for one in versions if one.source_session}
    of_versions = Q(candidate__session__version__in=pks) | Q(candidate__session__compared__in=pks)
    of_makers = Q(candidate__session__in={session for session, _ in made})
    rows: Any = EvaluationReport.objects.filter(of_versions | of_makers).values(
        "pk",
        "created_at",
        "candidate__key",
        "candidate__session_id",
        "candidate__session__version_id",
        "candidate__session__compared_id",
        "candidate__session__dataset_id",
        "candidate__session__dataset__name",
        "step__parent_key",
        "step__parameters__part",
    )
    for row in rows.order_by("created_at", "pk"):
        compared = row["candidate__session__compared_id"]
        if (original := row["candidate__session__version_id"]) in pks:
            yield _look(row, original, Role.ORIGINAL)
        candidate = compared or made.get((row["candidate__session_id"], row["step__parent_key"]))
        if candidate in pks:
            yield _look(row, candidate, Role.CANDIDATE)


def _look(row: dict[str, Any], version: int, role: Role) -> _Look:
    return _Look(
        version=version,
        dataset=row["candidate__session__dataset_id"],
        dataset_name=row["candidate__session__dataset__name"],
        evaluation=row["pk"],
        role=role,
        session=row["candidate__session_id"],
        candidate=row["candidate__key"],
        at=row["created_at"],
        judged=(row["step__parameters__part"] or Part.EVALUATION) == Part.EVALUATION,
    )


def _read(looks: Sequence[_Look]) -> dict[int, VersionReading]:
    """The numbers of these evaluations, from only those fields of their reports that are shown."""
    paths = {f"step__result__{name}": name for name in Measured.model_fields}
    wanted = {look.evaluation for look in looks}
    rows = EvaluationReport.objects.filter(pk__in=wanted).values("pk", "step__result__machine__hostname", *paths)
    found = {row["pk"]: row for row in rows}
    return {look.version: _reading(look, found[look.evaluation], paths) for look in looks}


def _reading(look: _Look, row: dict[str, Any], paths: dict[str, str]) -> VersionReading:
    measured = Measured.model_validate({name: row[path] for path, name in paths.items() if row[path] is not None})
    return VersionReading(
        session=look.session,
        candidate=look.candidate,
        at=look.at,
        machine=row["step__result__machine__hostname"] or "",
        reading=reading_of(measured, look.role),
    )
