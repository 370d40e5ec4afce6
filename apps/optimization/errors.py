"""What can go wrong around criteria, sessions and their steps."""

from __future__ import annotations

from typing import Any

from apps.errors import UserError

# --- criteria --------------------------------------------------------------------------------------------------------


class CriteriaInvalid(UserError):
    """`problems` lists every field that is wrong, each as `{field, code, message}`."""

    code = "criteria.invalid"
    sentence = "The criteria cannot be used. {summary}"

    def __init__(self, problems: list[dict[str, str]]) -> None:
        self.problems = problems
        summary = " ".join(f"{problem['field'] or 'criteria'}: {problem['message']}." for problem in problems)
        super().__init__(field=problems[0]["field"] or None, summary=summary)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "errors": self.problems}


class CriteriaNameTaken(UserError):
    code = "criteria.name_taken"
    status = 409
    sentence = "There are criteria called “{name}” already. Edit those, or choose another name."


class CriteriaBuiltIn(UserError):
    code = "criteria.built_in"
    status = 403
    sentence = "“{name}” is a built-in profile, which only operators edit. Save your changes under another name."


class CriteriaOutdated(UserError):
    code = "criteria.outdated"
    status = 409
    sentence = "“{name}” was changed meanwhile: version {version} is not the newest. Look at the newest and edit that."


class CriteriaMissing(UserError):
    code = "criteria.missing"
    sentence = "Say what matters: name criteria, or give them with the request."


# --- starting a session ----------------------------------------------------------------------------------------------


class VersionNotReady(UserError):
    code = "session.version_not_ready"
    status = 409
    sentence = "{version} cannot be optimized: it {state}."


class DataSetNotReady(UserError):
    code = "session.dataset_not_ready"
    status = 409
    sentence = "The data set {dataset} cannot be used: it {state}."


class TeamsDiffer(UserError):
    code = "session.teams_differ"
    sentence = "The {what} {name} belongs to another team than the model. Choose one of {team}."


class GroupsUnnamed(UserError):
    code = "session.groups_unnamed"
    sentence = (
        "These criteria limit the loss of each group, and the data set {dataset} names no groups. Upload it with the "
        "array or column that says which group an example belongs to (“Groups in”; over the API `group`), or leave the "
        "limit out. To hold every class to it, name the labels' own column."
    )


class GroupsUnmeasured(UserError):
    code = "session.groups_unmeasured"
    sentence = (
        "These criteria limit the loss of each group, and the metric of {dataset}, {metric}, is no mean over examples, "
        "so that a group has no part of it. Choose another metric for the data set, or leave the limit out."
    )


class TechniqueUnavailable(UserError):
    code = "session.technique_unavailable"
    sentence = (
        "No worker can run {technique}: {libraries} is installed on none of them. Install it on a worker, or leave the "
        "technique out."
    )


class TechniqueDisabled(UserError):
    code = "session.technique_disabled"
    sentence = "The operators have switched {technique} off. Leave it out of the allowed techniques."


class AcceleratorUnavailable(UserError):
    code = "session.accelerator_unavailable"
    sentence = (
        "The target is {device}, and no worker serves an accelerator. Start a worker for the queue gpu, or choose the "
        "target cpu."
    )


class NothingToTry(UserError):
    code = "session.nothing_to_try"
    status = 409
    sentence = (
        "This session would end as it begins, for nothing can be tried. {summary} Change the criteria, or ask for a "
        "start all the same to have the original analysed and packaged."
    )


# --- a session's life ------------------------------------------------------------------------------------------------


class SessionMoveRefused(UserError):
    code = "session.move_refused"
    status = 409
    sentence = "The session is {status}, so it cannot {move}."


class SessionDeleted(UserError):
    code = "session.deleted"
    status = 410
    sentence = "This session was deleted on {day} by {actor}. What it promoted is still there, as are its audit events."


class NothingToPromote(UserError):
    code = "session.nothing_to_promote"
    status = 409
    sentence = "This session hands over no artifact: {reason}"


class NotPromoted(UserError):
    code = "session.not_promoted"
    status = 409
    sentence = "The alias {alias} does not point at what this session made, so there is nothing to take back."


class NoPackage(UserError):
    code = "session.no_package"
    status = 404
    sentence = "This session has no package: {reason}"


class NoReport(UserError):
    code = "session.no_report"
    status = 404
    sentence = "There is no report yet: the session is {status}."


# --- the demo ---------------------------------------------------------------------------------------------------------


class DemoRefused(UserError):
    code = "demo.refused"
    sentence = "The sample {name} was refused: {reason}"


# --- why a step failed (kept on the step; the sentences are shown there) ---------------------------------------------


class WorkerLost(UserError):
    code = "step.worker_lost"
    sentence = "The worker died or lost its connection {attempts} times while it did this step."


class InfrastructureFailed(UserError):
    code = "step.infrastructure_failed"
    sentence = (
        "{what} failed, and not what was tried: {reason}. Nothing that was done is lost: once that works again, resume "
        "the session."
    )


class StepErrored(UserError):
    code = "step.errored"
    sentence = "Something broke on our side while this step ran. The operators find the details in the admin."


class SessionErrored(UserError):
    code = "session.errored"
    sentence = "Something broke on our side, so the session was stopped. The operators find the details in the admin."
