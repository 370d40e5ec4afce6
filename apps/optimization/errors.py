"""Errors about criteria, sessions and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.agents.planning.conflicts.values import Conflict, Severity
from apps.errors import UserError


class _Worded(UserError):
    """Callers fill in words in English; the sentence has them in the reader's language."""

    WORDS: ClassVar[tuple[str, ...]]

    def __init__(self, *, field: str | None = None, **context: Any) -> None:
        words = {name: gettext(str(context[name])) for name in self.WORDS}
        super().__init__(field=field, **(context | words))


# --- criteria --------------------------------------------------------------------------------------------------------


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


class _Contradictory(UserError):
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


class CriteriaContradictory(_Contradictory):
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


class TemplateNameMissing(UserError):
    code = "template.name_missing"
    sentence = "The template needs a name of at most {longest} characters. Enter one."


class TemplateNameTaken(UserError):
    code = "template.name_taken"
    status = 409
    sentence = "“{model}” already has a template called “{name}”. Replace it, or choose another name."


class TemplateOfComparison(UserError):
    code = "template.of_comparison"
    sentence = "This session compares two versions and optimizes nothing, so it cannot be a template."


class TemplateIncomplete(UserError):
    code = "template.incomplete"
    status = 409
    sentence = "The {what} of the template “{name}” was deleted. Fill in a new session from it, and choose another."


class TemplateElsewhere(UserError):
    code = "template.elsewhere"
    sentence = "{version} is not a version of “{model}”, which the template is for. Choose one of its versions."


class NoVersionReady(UserError):
    code = "template.no_version_ready"
    status = 409
    sentence = "No version of “{model}” has passed its checks yet, so nothing was started. Add one, or wait for it."


class DefaultOfAnotherTeam(UserError):
    code = "criteria.default_of_another_team"
    sentence = _("{name} belongs to another team. Choose criteria of {team}, or a built-in profile, as its default.")


# --- comments ---------------------------------------------------------------------------------------------------------


class CommentOfAnother(UserError):
    code = "comment.of_another"
    status = 403
    sentence = _("Somebody else wrote this comment, and only they can change or delete it. Write one of your own.")


# --- public links to reports ------------------------------------------------------------------------------------------


class ReportLinksOff(UserError):
    code = "report.links_off"
    status = 403
    sentence = _(
        "The operators of this installation have switched public links to reports off. Share the file instead."
    )


class ReportLinkRevoked(UserError):
    code = "report.link_revoked"
    status = 409
    sentence = _("This link was revoked already, so nobody can open it.")


class ReportLinkUnusable(UserError):
    code = "report.link_unusable"
    status = 404
    sentence = _(
        "This link opens no report: it has expired, was revoked, or is incomplete. Ask whoever sent it for a new one."
    )


# --- starting a session ----------------------------------------------------------------------------------------------


class VersionNotReady(UserError):
    code = "session.version_not_ready"
    status = 409
    sentence = _("{version} cannot be optimized: it {state}.")


class DataSetNotReady(UserError):
    code = "session.dataset_not_ready"
    status = 409
    sentence = _("The data set {dataset} cannot be used: it {state}.")


class TeamsDiffer(_Worded):
    WORDS = ("what",)
    code = "session.teams_differ"
    sentence = _("The {what} {name} belongs to another team than the model. Choose one of {team}.")


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


class ComparedInterfaceDiffers(UserError):
    code = "session.compared_interface_differs"
    sentence = _(
        "{compared} cannot be compared with {version}: {difference}. Choose a version with the same inputs and outputs."
    )


class NothingToProve(UserError):
    code = "session.nothing_to_prove"
    sentence = _(
        "The criteria set no limit, so a comparison could not prove anything. Set a limit, such as the largest loss of "
        "the metric."
    )


class SizeUncounted(UserError):
    code = "session.size_uncounted"
    sentence = _(
        "These criteria count the size as TensorFlow Lite, but {version} is a model in the format {label}, which is "
        "not exported to it. Count the file or the compressed download, or choose a Keras, SavedModel or TensorFlow "
        "Lite model."
    )


class TechniqueUnavailable(UserError):
    code = "session.technique_unavailable"
    sentence = _(
        "No worker can run {technique}, because none of them has {libraries}. Install it on a worker, or remove the "
        "technique from the criteria."
    )


class TechniqueDisabled(UserError):
    code = "session.technique_disabled"
    sentence = _("The operators have switched {technique} off. Remove it from the allowed techniques.")


class TechniquePaused(UserError):
    code = "session.technique_paused"
    sentence = _("{why} Until then, remove it from the allowed techniques.")


class AcceleratorUnavailable(UserError):
    code = "session.accelerator_unavailable"
    sentence = _(
        "The target is {device}, but no worker serves an accelerator. Start a worker for the queue gpu, or choose the "
        "target cpu."
    )


class ProviderUnavailable(UserError):
    code = "session.provider_unavailable"
    sentence = _(
        "The target is {device}, but on no live worker of the queue gpu does {runtime} compute there ({reasons}). "
        "Choose the target cpu, or ask the operators for a worker of the image worker-gpu."
    )


class SessionContradictory(_Contradictory):
    """Criteria that contradict themselves, the model, the data set or the installation."""

    code = "session.contradictory"
    status = 409
    sentence = _("This session cannot start, because its criteria contain a contradiction. {summary}")


class PlanEditsInvalid(UserError):
    """`problems` lists every wrong edit, each as `{field, code, message}`."""

    code = "session.plan_edits_invalid"
    sentence = _("The plan cannot be edited like this. {summary}")
    MOST_SAID = 5

    def __init__(self, problems: list[dict[str, str]]) -> None:
        self.problems = [{**one, "field": f"edits.{one['field']}" if one["field"] else "edits"} for one in problems]
        said = [f"{one['field']}: {one['message']}." for one in self.problems[: self.MOST_SAID]]
        more = len(self.problems) - len(said)
        summary = " ".join([*said, *([gettext("{number} more are wrong.").format(number=more)] if more else [])])
        super().__init__(field=self.problems[0]["field"], summary=summary)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "errors": self.problems}


class NothingToTry(UserError):
    code = "session.nothing_to_try"
    status = 409
    sentence = _(
        "This session would end with the original, because nothing can be tried. {summary} Change the criteria, or "
        "start anyway to analyse and package the original."
    )


# --- a session's life ------------------------------------------------------------------------------------------------


class SessionMoveRefused(_Worded):
    WORDS = ("status", "move")
    code = "session.move_refused"
    status = 409
    sentence = _("The session is {status}, so it cannot {move}.")


class ContinuedOtherwise(_Worded):
    WORDS = ("what",)
    code = "session.continued_otherwise"
    status = 409
    sentence = _(
        "A session is continued with its own {what}, {known} ({wanted}), not with {given}: what was measured holds "
        "only for that. Start another session for another {what}."
    )


class ContinuedElsewhere(UserError):
    code = "session.continued_elsewhere"
    status = 409
    sentence = _(
        "A session is continued with its own target: the device, the threads and the batch size decide every "
        "measurement. Start another session for another target."
    )


class ContinuedUnchanged(UserError):
    code = "session.continued_unchanged"
    status = 409
    sentence = _(
        "These criteria are those of the session itself, so nothing would be decided differently. Change the budget, a "
        "limit, the objective or the techniques; or start the session over to measure everything again."
    )


class NothingToContinue(UserError):
    code = "session.nothing_to_continue"
    status = 409
    sentence = _(
        "This session ended before its model was analysed, so there is nothing to continue. Start another one."
    )


class SessionTooOld(UserError):
    code = "session.too_old_to_continue"
    status = 409
    sentence = _(
        "This session ran before Lathe recorded what a step depends on, so it is not known whether its measurements "
        "still hold. Start another session with the same model and data set."
    )


class SessionDeleted(UserError):
    code = "session.deleted"
    status = 410
    sentence = _(
        "This session was deleted on {day} by {actor}. Its promoted versions and its audit events are still there."
    )


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


class NoLayers(_Worded):
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


class SpeedGridInvalid(UserError):
    code = "session.speed_grid_invalid"
    sentence = _(
        "The speed cannot be measured like this: {reason}. Give up to 8 whole numbers each, such as 1, 8, 32 for batch "
        "sizes and 1, 2 for threads."
    )


class SpeedNotMeasurable(UserError):
    code = "session.speed_not_measurable"
    status = 409
    sentence = _(
        "The speed of {candidate} cannot be measured: it was never made, or its file is not kept any more. Take it "
        "instead of what is delivered, and it is made again."
    )


class NoReport(_Worded):
    WORDS = ("status",)
    code = "session.no_report"
    status = 404
    sentence = _("There is no report yet: the session is {status}.")


# --- side by side -----------------------------------------------------------------------------------------------------


class ComparedItemUnknown(UserError):
    code = "compare.item_unknown"
    status = 404
    sentence = _(
        "{item!r} names nothing to compare that there is, or that you may see. Items are `session:ID`, "
        "`candidate:SESSION:KEY` and `version:ID`. Choose from the list of sessions, from a report or from a model's "
        "versions."
    )


class TooFewCompared(UserError):
    code = "compare.too_few"
    sentence = _(
        "A comparison needs at least {fewest} different items, and this one has {count}. Choose {fewest} to {most}."
    )


class TooManyCompared(UserError):
    code = "compare.too_many"
    sentence = _("At most {most} items fit side by side, and {count} are chosen. Leave some out.")


class ComparedKindsDiffer(UserError):
    code = "compare.kinds_differ"
    sentence = _(
        "Versions cannot stand beside sessions or candidates. Choose versions only, or sessions and candidates only. "
        "To compare a candidate with a version, promote it first."
    )


class ComparedTeamsDiffer(UserError):
    code = "compare.teams_differ"
    sentence = _(
        "These items belong to different teams ({teams}), so the link would not open for everyone. Choose items of one "
        "team."
    )


# --- the demo ---------------------------------------------------------------------------------------------------------


class DemoRefused(UserError):
    code = "demo.refused"
    sentence = _("The sample {name} was refused: {reason}")


# --- why a step failed (stored with the step and shown there) --------------------------------------------------------


class WorkerLost(UserError):
    code = "step.worker_lost"
    sentence = _("The worker died or lost its connection {attempts} times during this step.")


class InfrastructureFailed(UserError):
    code = "step.infrastructure_failed"
    sentence = _(
        "{what} failed, not the candidate: {reason}. Completed steps are kept. Resume the session once the problem is "
        "fixed."
    )


class StepErrored(UserError):
    code = "step.errored"
    sentence = _("This step failed because of an internal error. The operators can find the details in the admin.")


class SessionErrored(UserError):
    code = "session.errored"
    sentence = _("The session was stopped by an internal error. The operators can find the details in the admin.")
