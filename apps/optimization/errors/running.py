"""Why a step or a session failed: stored with it and shown there."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError


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
