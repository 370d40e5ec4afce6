"""Criteria: what is wrong with them, and who may save them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from apps.agents.planning.conflicts.values import Conflict, Severity
from apps.errors import UserError


class CriteriaInvalid(UserError):
    """`problems` lists every invalid field, each as `{field, code, message}`."""

    code = "criteria.invalid"
    sentence = _("The criteria cannot be used. {summary}")

    def __init__(self, problems: list[dict[str, str]]) -> None:
        self.problems = problems
        summary = " ".join(f"{problem['field'] or 'criteria'}: {problem['message']}." for problem in problems)
        super().__init__(field=problems[0]["field"] or None, summary=summary)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "errors": self.problems}


class Contradictory(UserError):
    """`conflicts` lists all conflicts with their resolutions; the sentence tells the contradictions."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        self.conflicts = tuple(conflicts)
        self.firm = [one for one in self.conflicts if one.severity is Severity.CONTRADICTION]
        super().__init__(field=self.firm[0].fields[0], summary=" ".join(one.message for one in self.firm))

    def as_dict(self) -> dict[str, Any]:
        errors = [
            {"field": field, "code": one.code, "message": one.message} for one in self.firm for field in one.fields
        ]
        conflicts = [one.model_dump(mode="json") for one in self.conflicts]
        return {**super().as_dict(), "errors": errors, "conflicts": conflicts}


class CriteriaContradictory(Contradictory):
    """Criteria that contradict themselves, whatever the model is."""

    code = "criteria.contradictory"
    sentence = _("These criteria contradict themselves, so they were not saved. {summary}")


class UnknownResolution(UserError):
    code = "criteria.unknown_resolution"
    sentence = _("No conflict of these criteria proposes the resolution {name!r}. {choices}.")


class CriteriaNameTaken(UserError):
    code = "criteria.name_taken"
    status = 409
    sentence = _("There are already criteria called “{name}”. Edit those, or choose another name.")


class CriteriaBuiltIn(UserError):
    code = "criteria.built_in"
    status = 403
    sentence = _("“{name}” is a built-in profile, which only operators can edit. Save your changes under another name.")


class CriteriaOutdated(UserError):
    code = "criteria.outdated"
    status = 409
    sentence = _(
        "“{name}” has changed: version {version} is no longer the newest. Open the newest version and edit that."
    )


class CriteriaMissing(UserError):
    code = "criteria.missing"
    sentence = _(
        "The request has no criteria, and no default is set. Name saved criteria, include criteria in the request, "
        "or set a default on a page of criteria."
    )


class DefaultOfAnotherTeam(UserError):
    code = "criteria.default_of_another_team"
    sentence = _("{name} belongs to another team. Choose criteria of {team}, or a built-in profile, as its default.")
