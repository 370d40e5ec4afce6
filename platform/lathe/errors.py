"""One place that turns what went wrong into an answer.

The API answers with problem details (RFC 9457): `type`, `title`, `status`, `detail`, a stable `code`, and `errors` by
field where a body was wrong. Pages show the same sentence on a page of their own. Unexpected errors keep their
traceback in the log and say nothing of it to the client.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.http import reswap, trigger_client_event
from pydantic import ValidationError as ValueErrorReport
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.errors import UserError

PROBLEM = "application/problem+json"


def problem(
    *, code: str, status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None, **more: Any
) -> Response:
    """A problem details response. `errors` lists `{field, code, message}`."""
    body: dict[str, Any] = {"type": f"urn:lathe:problem:{code}", "title": title, "status": status, "detail": detail}
    body["code"] = code
    if errors:
        body["errors"] = errors
    return Response({**body, **more}, status=status, content_type=PROBLEM)


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. `None` lets an unexpected error become a 500 with its traceback in the log."""
    if isinstance(error, UserError):
        fields = [{"field": error.field, "code": error.code, "message": error.message}] if error.field else None
        return problem(
            code=error.code, status=error.status, title=_title(error.status), detail=error.message, errors=fields
        )
    if isinstance(error, ValueErrorReport):
        return _invalid(_from_pydantic(error))
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        return _invalid(_from_drf(error.get_full_details()))
    return _with_headers(response, error)


def _invalid(errors: list[dict[str, Any]]) -> Response:
    detail = errors[0]["message"] if len(errors) == 1 else f"{len(errors)} fields are wrong."
    return problem(code="request.invalid", status=400, title=_title(400), detail=detail, errors=errors)


def _with_headers(response: Response, error: Exception) -> Response:
    """Everything else that DRF knows: not found, not allowed, throttled, not logged in; with its headers."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    if not isinstance(error, exceptions.APIException):
        return response
    code = f"request.{error.get_codes()}" if isinstance(error.get_codes(), str) else "request.refused"
    answer = problem(
        code=code, status=response.status_code, title=_title(response.status_code), detail=str(error.detail)
    )
    for header in ("WWW-Authenticate", "Retry-After", "Allow"):
        if response.has_header(header):
            answer[header] = response[header]
    return answer


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
    """Middleware: a `UserError` that a view let through becomes a page with its sentence, never a 500."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, UserError):
            return None
        if getattr(request, "htmx", False):
            return _for_htmx(error)
        return render(request, "error.html", _page(error.status, error.message, error.code), status=error.status)


def _for_htmx(error: UserError) -> HttpResponse:
    """Nothing is swapped; `static/js/page.js` shows the sentence where messages stand."""
    response = HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
    return trigger_client_event(reswap(response, "none"), "lathe:error", {"message": error.message})


_SENTENCES = {
    400: "The request could not be understood.",
    403: "You are logged in, but your role does not allow this. Ask an owner of the team.",
    404: "There is nothing here, or it belongs to a team that you are not a member of.",
    500: "Something broke on our side. The operators find the details in the log.",
}


def _page(code: int, sentence: str | None = None, name: str = "") -> dict[str, Any]:
    return {"status": code, "title": _title(code), "sentence": sentence or _SENTENCES[code], "code": name}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "error.html", _page(400), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "error.html", _page(403, str(exception) or None), status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "error.html", _page(404), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return render(request, "error.html", _page(500), status=500)
