"""Services for criteria: named, versioned and validated. Saving a change creates a new version; sessions keep their
copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from pydantic import ValidationError

from apps.accounts.models import Role, Team, User
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import Criteria
from apps.agents.planning.conflicts.checking import conflicts_of, contradictions
from apps.agents.techniques.catalogue import catalogue
from apps.audit import trail
from apps.optimization import default_criteria
from apps.optimization.errors.criteria import (
    CriteriaBuiltIn,
    CriteriaContradictory,
    CriteriaInvalid,
    CriteriaNameTaken,
    CriteriaOutdated,
)
from apps.optimization.models import CriteriaSet


def parse(body: Criteria | Mapping[str, Any]) -> Criteria:
    """`body` as `Criteria`. Raises `CriteriaInvalid`, which lists every invalid field with its value."""
    plain = body.model_dump(mode="json") if isinstance(body, Criteria) else dict(body)
    try:
        criteria = Criteria.model_validate(plain)
    except ValidationError as error:
        raise CriteriaInvalid([_problem(entry) for entry in error.errors(include_url=False)]) from error
    if problems := [*_unknown_techniques(criteria)]:
        raise CriteriaInvalid(problems)
    return criteria


def consistent(body: Criteria | Mapping[str, Any]) -> Criteria:
    """`body` as criteria that may be saved. Raises `CriteriaInvalid`, and `CriteriaContradictory` if they contradict
    themselves whatever the model is.
    """
    criteria = parse(body)
    if contradictions(conflicts := conflicts_of(criteria)):
        raise CriteriaContradictory(conflicts)
    return criteria


def _problem(entry: Mapping[str, Any]) -> dict[str, str]:
    given = entry["input"]
    shown = "" if isinstance(given, dict) else f" (given: {given!r})"
    return {"field": ".".join(map(str, entry["loc"])), "code": entry["type"], "message": f"{entry['msg']}{shown}"}


def _unknown_techniques(criteria: Criteria) -> list[dict[str, str]]:
    known = catalogue()
    return [
        {
            "field": field,
            "code": "unknown_technique",
            "message": f"there is no technique {name!r}; choose from {', '.join(known)}",
        }
        for field in ("allowed_techniques", "forbidden_techniques", "required_techniques")
        for name in getattr(criteria, field) or ()
        if name not in known
    ]


@transaction.atomic
def create(
    *,
    user: User,
    team: Team | None,
    name: str,
    criteria: Criteria | Mapping[str, Any],
    description: str = "",
    as_operator: bool = False,
) -> CriteriaSet:
    """New named criteria of a team, or, by an operator, a built-in profile for all teams (`team` is `None`).

    Raises `PermissionDenied`, `CriteriaInvalid`, `CriteriaContradictory`, `CriteriaNameTaken`.
    """
    if not (as_operator and user.is_staff):
        if team is None:
            raise CriteriaBuiltIn(name=name)
        require_role(user, team, Role.ENGINEER)
    row = _insert(team=team, name=_name(name), version=1, criteria=criteria, description=description, user=user)
    trail.record("criteria.created", actor=user, team=team, subject=str(row), data={"body": row.body})
    return row


@transaction.atomic
def change(
    criteria_set: CriteriaSet,
    *,
    user: User,
    criteria: Criteria | Mapping[str, Any],
    description: str | None = None,
    name: str | None = None,
    reason: str = "",
    as_operator: bool = False,
) -> CriteriaSet:
    """Saves a new version. Running sessions keep theirs; new sessions use the new one. `reason` is for the audit trail.

    Only operators edit built-in profiles (`as_operator`, in the admin). Raises `PermissionDenied`,
    `CriteriaBuiltIn`, `CriteriaOutdated` if `criteria_set` is not the newest version, `CriteriaInvalid`,
    `CriteriaContradictory`, `CriteriaNameTaken`.
    """
    if not (as_operator and user.is_staff):
        require_editor(user, criteria_set)
    # Locked, so that the second of two concurrent edits finds its version outdated.
    current = CriteriaSet.objects.select_for_update().get(pk=criteria_set.pk)
    if not current.current:
        raise CriteriaOutdated(name=current.name, version=current.version)
    current.current = False
    current.save(update_fields=["current"])
    row = _insert(
        team=current.team,
        name=_name(name) if name is not None else current.name,
        version=current.version + 1,
        criteria=criteria,
        description=current.description if description is None else description,
        user=user,
    )
    default_criteria.follow(current, row)
    trail.record(
        "criteria.edited",
        actor=user,
        team=row.team,
        subject=str(row),
        reason=reason,
        data={"before": current.body, "after": row.body},
    )
    return row


@transaction.atomic
def retire(criteria_set: CriteriaSet, *, user: User) -> None:
    """Removes criteria from the lists and from defaults. Sessions that used them keep them.

    Raises the same errors as `change`.
    """
    require_editor(user, criteria_set)
    CriteriaSet.objects.filter(pk=criteria_set.pk).update(current=False)
    default_criteria.forget(criteria_set, user=user)
    trail.record("criteria.retired", actor=user, team=criteria_set.team, subject=str(criteria_set))


def require_editor(user: User, criteria_set: CriteriaSet) -> None:
    """Raises `CriteriaBuiltIn` for a profile, and `PermissionDenied` below engineer."""
    if criteria_set.team is None:
        raise CriteriaBuiltIn(name=criteria_set.name)
    require_role(user, criteria_set.team, Role.ENGINEER)


def _name(name: str) -> str:
    clean = " ".join(name.split())
    longest = CriteriaSet._meta.get_field("name").max_length or 0
    if not 0 < len(clean) <= longest:
        message = f"the name must have 1 to {longest} characters"
        raise CriteriaInvalid([{"field": "name", "code": "name_length", "message": message}])
    return clean


def _insert(
    *,
    team: Team | None,
    name: str,
    version: int,
    criteria: Criteria | Mapping[str, Any],
    description: str,
    user: User,
) -> CriteriaSet:
    body = consistent(criteria).model_dump(mode="json")
    if CriteriaSet.objects.filter(team=team, name=name).current().exists():
        raise CriteriaNameTaken(field="name", name=name)
    last = CriteriaSet.objects.filter(team=team, name=name).order_by("-version").values_list("version", flat=True)
    try:
        with transaction.atomic():
            return CriteriaSet.objects.create(
                team=team,
                name=name,
                # A name that was retired, or freed by renaming, continues its version numbers.
                version=max(version, (last.first() or 0) + 1),
                description=description.strip(),
                body=body,
                created_by=user,
            )
    except IntegrityError as clash:
        raise CriteriaNameTaken(field="name", name=name) from clash
