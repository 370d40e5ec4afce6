"""What the ways of sending have in common: how an attempt ends."""

from __future__ import annotations


class Failed(Exception):
    """An attempt failed. The message is shown to members, so it holds neither addresses nor the receiver's answer."""

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float = 0.0, final: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the answer, if there was one."""
        self.retry_after_s = retry_after_s
        """How long the receiver asked to be left alone."""
        self.final = final
        """Whether another attempt would be of no use."""
