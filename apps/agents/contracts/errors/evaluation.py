"""Outputs that cannot be compared."""

from __future__ import annotations

from apps.errors import UserError


class OutputsNotFinite(UserError):
    code = "evaluation.not_finite"
    sentence = "The {which} returns NaN or infinite values in output {output!r} on the data set's examples."


class OutputsDiffer(UserError):
    code = "evaluation.outputs_differ"
    sentence = "The candidate's outputs do not match the original's: {reason}."


class OutputUnfit(UserError):
    code = "evaluation.output_unfit"
    sentence = "Output {output!r} has the shape {shape}, which does not fit the task {task}: {reason}."
