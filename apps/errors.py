"""Errors that a user can cause and fix.

Every such error is a subclass of `UserError` with a stable code. Pages, the API and the command line show the same
message; the API adds the code and the field (RFC 9457, `platform/lathe/errors.py`).

A *failure* (this) is expected, and the user can act on it. Any other exception is a bug in Lathe: an *error*, stored
with its traceback for the operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


def _(sentence: str) -> str:
    """Marks a sentence for the catalogues. Agents import this module, so it does without Django."""
    return sentence


class UserError(Exception):
    """An expected failure with a code that never changes and a message that says what happened and what to do.

    Subclasses set `code` (dotted, lower case), `status` (the HTTP status of the API) and `sentence`, a format string
    filled from the keyword arguments. `field` names the invalid input, if there is one; the arguments are available in
    `context`.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 422
    sentence: ClassVar[str]

    def __init__(self, *, field: str | None = None, **context: Any) -> None:
        self.field = field
        self.context = context
        self.message = self.translated(self.sentence).format(**context)
        super().__init__(self.message)

    @staticmethod
    def translated(sentence: str) -> str:
        """The sentence in the reader's language. The portal replaces this; where agents run, sentences stay English."""
        return sentence

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data: `code`, `message` and, where known, `field`."""
        plain: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field:
            plain["field"] = self.field
        return plain

    @classmethod
    def catalogue(cls) -> Iterator[type[UserError]]:
        """Every error class defined so far that has its own code, depth first."""
        for subclass in cls.__subclasses__():
            if "code" in subclass.__dict__:
                yield subclass
            yield from subclass.catalogue()


class QueueAway(UserError):
    code = "service.queue_away"
    status = 503
    sentence = _("The queue to the workers does not answer, so nothing was started. Try again in a moment.")


class StoreAway(UserError):
    code = "service.store_away"
    status = 503
    sentence = _(
        "Files cannot be stored or read at the moment, so nothing was changed. Try again in a moment. The operators "
        "can find the reason in the log."
    )


class BulkActUnknown(UserError):
    code = "bulk.act_unknown"
    sentence = _("“{name}” cannot be done to several rows at once. Choose one of: {choices}.")


class BulkEmpty(UserError):
    code = "bulk.empty"
    sentence = _("Nothing is chosen, or what is chosen is no longer there. Tick at least one row of the list.")


class BulkTooMany(UserError):
    code = "bulk.too_many"
    sentence = _("{given} rows are chosen, and at most {most} can be handled at once. Choose fewer.")


class ListTooLong(UserError):
    code = "list.too_long"
    sentence = _(
        "This list has {rows} rows, and a file holds at most {most}. Narrow the filters, or read the list over the API."
    )
