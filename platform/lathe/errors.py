"""Converts errors to responses, in one place.

The API responds with problem details (RFC 9457): `type`, `title`, `status`, `detail`, a stable `code`, and `errors` by
field if a body was invalid. Pages show the same message on an error page. Tracebacks of unexpected errors are only in
the log and never reach the client.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django_htmx.http import reswap, trigger_client_event
from pydantic import ValidationError as ValueErrorReport
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.api import Replayed
from apps.errors import StoreAway, UserError
from apps.models.trouble import store_is_away

PROBLEM = "application/problem+json"
API = "/api/"
RETRY_AFTER_S = 5
"""The wait before a client should retry an unavailable service."""
DATABASE_AWAY = (OperationalError, InterfaceError)
"""Raised if the database cannot be reached, disconnects, or is too busy for a write."""

logger = logging.getLogger(__name__)


class BodyTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = _("The body is too large. Send the file as an upload instead.")


class DatabaseAway(exceptions.APIException):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = _("The database does not answer. Nothing was changed; try again in a moment.")


@dataclass(frozen=True)
class Problem:
    """The body of an error response. `errors` lists `{field, code, message}`, and `conflicts` those of criteria."""

    code: str
    status: int
    detail: str
    errors: tuple[dict[str, Any], ...] = ()
    conflicts: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        body = {
            "type": f"urn:lathe:problem:{self.code}",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        more = {"errors": list(self.errors), "conflicts": list(self.conflicts)}
        return body | {name: entries for name, entries in more.items() if entries}

    def response(self) -> Response:
        return Response(self.as_dict(), status=self.status, content_type=PROBLEM)

    def plain_response(self) -> HttpResponse:
        """The same for errors outside the framework's views."""
        return JsonResponse(self.as_dict(), status=self.status, content_type=PROBLEM)


def request_problems() -> Iterator[Problem]:
    """The problems that any request can cause: the framework's, in its own words, and Lathe's."""
    yield Problem("request.error", 500, str(_SENTENCES[500]))
    kinds: list[type[exceptions.APIException]] = exceptions.APIException.__subclasses__()
    for kind in kinds:
        if kind.__module__ in (exceptions.__name__, __name__):
            yield Problem(f"request.{kind.default_code}", kind.status_code, str(kind.default_detail))


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. `None` lets an unexpected error become a 500 with its traceback in the log."""
    if isinstance(error, Replayed):
        return Response(error.body, status=error.status, headers={"Idempotency-Replayed": "true"})
    error = _of_the_store(error)
    if isinstance(error, UserError):
        conflicts = tuple(error.as_dict().get("conflicts", ()))
        return Problem(error.code, error.status, error.message, _fields_of(error), conflicts).response()
    if isinstance(error, ValueErrorReport):
        return _invalid(_from_pydantic(error))
    if isinstance(error, RequestDataTooBig):
        error = BodyTooLarge()
    elif isinstance(error, DATABASE_AWAY):
        error = _database_away(error)
    elif _fits_no_column(error):
        logger.error("A value that no column can store reached the database.", exc_info=error)
        error = exceptions.ParseError()
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        return _invalid(_from_drf(error.get_full_details()))
    return _with_headers(response, error)


def _fields_of(error: UserError) -> tuple[dict[str, Any], ...]:
    """All invalid fields if the error has several; otherwise the one that it names."""
    plain = error.as_dict()
    if several := plain.get("errors"):
        return tuple(several)
    return ({"field": error.field, "code": error.code, "message": error.message},) if error.field else ()


def _invalid(errors: list[dict[str, Any]]) -> Response:
    detail = errors[0]["message"] if len(errors) == 1 else f"{len(errors)} fields are invalid. See “errors”."
    return Problem("request.invalid", 400, detail, tuple(errors)).response()


def _with_headers(response: Response, error: Exception) -> Response:
    """All other errors of DRF, with their headers: not found, not allowed, throttled, not logged in."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    if not isinstance(error, exceptions.APIException):
        return response
    code = f"request.{error.get_codes()}" if isinstance(error.get_codes(), str) else "request.refused"
    named = getattr(error, "field", None)
    fields = ({"field": named, "code": str(error.get_codes()), "message": str(error.detail)},) if named else ()
    answer = Problem(code, response.status_code, str(error.detail), fields).response()
    for header in ("WWW-Authenticate", "Retry-After", "Allow"):
        if response.has_header(header):
            answer[header] = response[header]
    return answer


def _of_the_store(error: Exception) -> Exception:
    """`StoreAway` if the store is behind the error, and otherwise the error."""
    if not store_is_away(error):
        return error
    logger.error("Files cannot be stored or read.", exc_info=error)
    return StoreAway()


def _database_away(error: BaseException) -> DatabaseAway:
    """The error for the client. Details for the operators are in the log."""
    logger.error("The database does not answer.", exc_info=error)
    return DatabaseAway()


def _fits_no_column(error: BaseException) -> bool:
    """Whether the database received a value that it cannot store: a number beyond 64 bits, or a text with a NUL. Each
    driver raises a different error.
    """
    if isinstance(error, OverflowError):
        return "SQLite" in str(error)
    return isinstance(error, DataError) or (isinstance(error, ValueError) and "NUL (0x00)" in str(error))


def _title(code: int) -> str:
    return HTTPStatus(code).phrase


def _from_pydantic(error: ValueErrorReport) -> list[dict[str, Any]]:
    return [
        {
            "field": ".".join(map(str, entry["loc"])),
            "code": entry["type"],
            "message": f"{entry['msg']} (given: {entry['input']!r})",
        }
        for entry in error.errors(include_url=False)
    ]


def _from_drf(details: Any, field: str = "") -> list[dict[str, Any]]:
    if isinstance(details, dict) and {"message", "code"} <= details.keys() and not isinstance(details["message"], dict):
        return [{"field": field or None, "code": details["code"], "message": str(details["message"])}]
    if isinstance(details, dict):
        pairs = [(f"{field}.{name}" if field else str(name), value) for name, value in details.items()]
    else:
        pairs = [(field, value) for value in details]
    return [found for name, value in pairs for found in _from_drf(value, "" if name == "non_field_errors" else name)]


class UserErrorPages:
    """Middleware: an unhandled `UserError` becomes a page with its message, never a 500.

    Responses about an unavailable service get a `Retry-After` header.
    """

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return _with_retry_after(self.get_response(request))

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DATABASE_AWAY):
            return _unavailable(request, error)
        if _fits_no_column(error):
            logger.error("A value that no column can store reached the database.", exc_info=error)
            return bad_request(request, error)
        error = _of_the_store(error)
        if not isinstance(error, UserError):
            return None
        if getattr(request, "htmx", False):
            return _for_htmx(error)
        return render(request, "error.html", _page(error.status, error.message, error.code), status=error.status)


def _for_htmx(error: UserError) -> HttpResponse:
    """Swaps nothing; `static/js/page.js` shows the message in the page's message area."""
    response = HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
    return trigger_client_event(reswap(response, "none"), "lathe:error", {"message": error.message})


_SENTENCES = {
    400: _("The request could not be understood."),
    403: _("You are logged in, but your role does not allow this. Ask an owner of the team."),
    404: _("This page does not exist, or it belongs to a team that you are not a member of."),
    500: _("An internal error occurred. The operators can find the details in the log."),
}
_TITLES = {
    400: _("Bad Request"),
    403: _("Forbidden"),
    404: _("Not Found"),
    409: _("Conflict"),
    416: _("Requested Range Not Satisfiable"),
    422: _("Unprocessable Entity"),
    500: _("Internal Server Error"),
    502: _("Bad Gateway"),
    503: _("Service Unavailable"),
}
"""The words that HTTP has for the status, on pages. Problem details keep those of HTTP."""


def _page(code: int, sentence: str | None = None, name: str = "") -> dict[str, Any]:
    title = _TITLES.get(code, _title(code))
    return {"status": code, "title": title, "sentence": sentence or _SENTENCES[code], "code": name}


def _page_or_problem(request: HttpRequest, code: int, name: str, sentence: str | None = None) -> HttpResponse:
    """A page for people, problem details for programs."""
    if request.path.startswith(API):
        return Problem(f"request.{name}", code, sentence or str(_SENTENCES[code])).plain_response()
    return render(request, "error.html", _page(code, sentence), status=code)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, 400, "parse_error")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, 403, "permission_denied", str(exception) or None)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page_or_problem(request, 404, "not_found")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's hook for unhandled errors. A middleware may also have used an unavailable database."""
    error = sys.exception()
    if isinstance(error, DATABASE_AWAY):
        return _with_retry_after(_unavailable(request, error))
    return _page_or_problem(request, 500, "error")


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """The response while the database is unavailable. Its page needs nothing from the database, such as the user."""
    away = _database_away(error)
    status, sentence = int(away.status_code), str(away.detail)
    if request.path.startswith(API):
        return Problem(f"request.{away.default_code}", status, sentence).plain_response()
    page = _page(status, sentence, f"request.{away.default_code}")
    return HttpResponse(render_to_string("error.html", page), status=status)


def _with_retry_after(response: HttpResponse) -> HttpResponse:
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return response
