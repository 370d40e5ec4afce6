"""The frame of a middleware that runs in synchronous and in asynchronous servers alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Around:
    """Does something before a request, after its answer, or both. Without a thread of its own, so neither may wait."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._later(request)
        begun = self.before(request)
        return self.after(request, self.get_response(request), begun)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        begun = self.before(request)  # In the request's own task, whose context others do not see.
        return self.after(request, await self.get_response(request), begun)

    def before(self, request: HttpRequest) -> Any:
        """What `after` gets as `begun`."""

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: Any) -> HttpResponseBase:
        return response
