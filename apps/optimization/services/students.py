"""Whether a model can be trained as the student of another one, as far as that is known before a session starts."""

from __future__ import annotations

from django.utils.translation import gettext as _

from apps.agents.techniques.catalogue import catalogue
from apps.agents.techniques.compatibility import format_label
from apps.agents.techniques.interface import in_place_of, interface_difference
from apps.models.models import Inspected, ModelVersion
from apps.optimization.errors.starting import TeamsDiffer, VersionNotReady
from apps.optimization.errors.students import (
    StudentFormatDiffers,
    StudentInterfaceDiffers,
    StudentIsOriginal,
    StudentNotTaught,
)


def check_student(student: ModelVersion, version: ModelVersion) -> None:
    """Raises `TeamsDiffer`, `VersionNotReady`, `StudentIsOriginal`, `StudentFormatDiffers`, `StudentNotTaught` and
    `StudentInterfaceDiffers` where `student` cannot learn from `version` or could not take its place.
    """
    if student.model.team_id != version.model.team_id:
        raise TeamsDiffer(field="student", what="student", name=student, team=version.model.team)
    if not student.ready:
        raise VersionNotReady(field="student", version=student, state=why_not_ready(student))
    if student.pk == version.pk or student.blob_id == version.blob_id:
        raise StudentIsOriginal(field="student", student=student)
    _check_interface(student, version)


def why_not_ready(file: Inspected) -> str:
    if file.refused:
        return _("was refused ({reason})").format(reason=file.refusal)
    return _("is still being checked; wait a moment")


def _check_interface(student: ModelVersion, version: ModelVersion) -> None:
    given, wanted = student.metadata.summary, version.metadata.summary
    named = {"student": student, "version": version}
    if given.format != wanted.format:
        formats = {"given": format_label(given.format), "wanted": format_label(wanted.format)}
        raise StudentFormatDiffers(field="student", **named, **formats)
    if not any(one.trains_student and given.format in one.formats for one in catalogue().values()):
        raise StudentNotTaught(field="student", format=format_label(given.format))
    if difference := interface_difference(wanted, in_place_of(wanted, given)):
        raise StudentInterfaceDiffers(field="student", **named, difference=difference)
