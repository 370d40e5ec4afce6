"""What a session does not have, or cannot deliver."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError
from apps.optimization.errors.worded import Worded


class CandidateUnknown(UserError):
    code = "session.candidate_unknown"
    sentence = _("This session has no candidate {candidate!r}. Name one of {known}.")


class CandidateNotTakable(UserError):
    code = "session.candidate_not_takable"
    status = 409
    sentence = _("{candidate} cannot be delivered: {reason}")


class CandidateFileGone(UserError):
    code = "session.candidate_file_gone"
    status = 410
    sentence = _(
        "There is no file of {candidate}: it was never made, or it is not kept any more. If it was accepted, take it "
        "instead of what is delivered, and it is made again; or make it by the recipe of its step."
    )


class DecisionUnknown(UserError):
    code = "session.decision_unknown"
    status = 404
    sentence = _("This session has no decision {number!r} with a package. Its decisions are {known}.")


class NothingToPromote(UserError):
    code = "session.nothing_to_promote"
    status = 409
    sentence = _("This session has no artifact to promote: {reason}")


class NotPromoted(UserError):
    code = "session.not_promoted"
    status = 409
    sentence = _("The alias {alias} does not point at this session's version, so there is nothing to roll back.")


class NoPackage(UserError):
    code = "session.no_package"
    status = 404
    sentence = _("This session has no package: {reason}")


class NoRecipe(UserError):
    code = "session.no_recipe"
    status = 404
    sentence = _(
        "The step {step!r} of this session has made no model, so it has no recipe. "
        "Name a completed step that optimizes, as the session's list of steps shows it."
    )


class NoCard(UserError):
    code = "session.no_card"
    status = 404
    sentence = _(
        "This session compares two versions and delivers no model, so it has no model card. Read its report instead."
    )


class NoLayers(Worded):
    WORDS = ("status",)
    code = "session.no_layers"
    status = 404
    sentence = _("The layers are not known: the session is {status} and has not analysed its model.")


class NoAnswers(UserError):
    code = "session.no_predictions"
    status = 404
    sentence = _("There are no predictions example by example: {reason}")


class NoPicture(UserError):
    code = "session.no_picture"
    status = 404
    sentence = _(
        "There is no picture {name!r} with these predictions. Names stand in `excerpt.picture` of the examples shown."
    )


class NoReport(Worded):
    WORDS = ("status",)
    code = "session.no_report"
    status = 404
    sentence = _("There is no report yet: the session is {status}.")


class NotPrinted(UserError):
    code = "report.not_printed"
    status = 503
    sentence = _(
        "The report was not made into a PDF within {seconds} s, because the server is busy. Try again in a moment, or "
        "print the report's page from your browser."
    )
