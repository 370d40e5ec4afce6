"""Answers that are made while they are sent, so that a long one takes little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

Read = Callable[[], bytes]
"""The next piece of the answer; empty at the end."""


def body_of(request: HttpRequest, read: Read) -> AsyncIterator[bytes] | Iterator[bytes]:
    """What `read` gives, for a `StreamingHttpResponse`."""
    return _asynchronous(read) if isinstance(request, ASGIRequest) else iter(read, b"")


async def _asynchronous(read: Read) -> AsyncIterator[bytes]:
    """Under ASGI, Django would read a synchronous iterator into memory as a whole."""
    next_piece = sync_to_async(read)
    while piece := await next_piece():
        yield piece
