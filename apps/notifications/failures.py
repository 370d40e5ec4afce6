"""Why attempts to deliver fail: sentences that are kept in English, and shown in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.kept_sentences import translation_of
from apps.notifications.errors import ServiceUnknown

NOT_PUBLIC = _(
    "The address is not on the public internet, and no operator has listed its network in LATHE_WEBHOOK_NETWORKS."
)
NOT_ENCRYPTED = _("Only https:// may be used outside of the networks in LATHE_WEBHOOK_NETWORKS.")
NO_ANSWER = _("There was no complete answer within {seconds} seconds.")
TOO_LONG = _("The answer was too long.")
NO_SUCH_HOST = _("The name of the host cannot be resolved.")
TLS_FAILED = _("TLS failed: {reason}.")
CONNECTION_ENDED = _("the connection ended")
CONNECTION_FAILED = _("The connection failed: {reason}.")
GONE = _("The receiver answered 410: it wants no more messages.")
REDIRECTED = _("The receiver answered {status}. Redirects are not followed: write the new address.")
ANSWERED = _("The receiver answered {status}.")
NOT_TAKEN = _("The service did not take the message. Check the address, and that its token is still valid.")
NO_MAIL = _("The mail server did not take the mail: {reason}.")
OURS = _("Lathe could not send it. The operators find the reason in the log.")
INTERRUPTED = _("The attempt was interrupted: it took too long, or the worker was stopped.")
UNWANTED = _("The channel was switched off, or its owner has left the team.")

_FORMS = (
    *(NOT_PUBLIC, NOT_ENCRYPTED, NO_ANSWER, TOO_LONG, NO_SUCH_HOST, TLS_FAILED, CONNECTION_FAILED, GONE, REDIRECTED),
    *(ANSWERED, NOT_TAKEN, NO_MAIL, OURS, INTERRUPTED, UNWANTED, ServiceUnknown.sentence),
)


def shown(sentence: str) -> str:
    """A kept sentence in the reader's language. One that is not known stays as it is."""
    return translation_of(sentence, _FORMS, lambda _name, value: gettext(value)) or sentence
