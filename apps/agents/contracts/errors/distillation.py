"""Students that cannot learn from the original."""

from __future__ import annotations

from apps.errors import UserError


class StudentNotBuilt(UserError):
    code = "distillation.student_not_built"
    sentence = "{technique} cannot make a student of this model: {reason}."


class StudentDiffers(UserError):
    code = "distillation.student_differs"
    sentence = "{technique}: the student cannot take the original's place: {reason}."
