"""Models that are given to a session as students."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


class StudentIsOriginal(UserError):
    code = "session.student_is_original"
    sentence = _("{student} is the model that is optimized. Choose another model as its student, or none.")


class StudentFormatDiffers(UserError):
    code = "session.student_format_differs"
    sentence = _(
        "{student} is of the format {given}, but {version} is of the format {wanted}. Upload the student in the format "
        "{wanted}, or choose another one."
    )


class StudentNotTaught(UserError):
    code = "session.student_not_taught"
    sentence = _(
        "No technique trains a student of the format {format}. Upload both models as exported programs, for example, "
        "or start without a student."
    )


class StudentInterfaceDiffers(UserError):
    code = "session.student_interface_differs"
    sentence = _(
        "{student} cannot take the place of {version}: {difference}. Choose a student with the same inputs and outputs."
    )
