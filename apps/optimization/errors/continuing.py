"""Sessions that cannot be continued."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError
from apps.optimization.errors.worded import Worded


class ContinuedOtherwise(Worded):
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
