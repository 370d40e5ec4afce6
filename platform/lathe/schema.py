"""The API's description (OpenAPI 3.1): operations, authentication, and errors.

drf-spectacular finds the token scheme because `LatheConfig.ready` imports this module. The settings name the class and
the hook.
"""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc

from apps.api import FILE
from lathe.errors import PROBLEM, request_problems

Operation = dict[str, Any]

VERBS = {"list": "List", "retrieve": "Read", "create": "Make", "partial_update": "Change", "destroy": "Delete"}
WRITES = ("post", "put", "patch", "delete")
BODIES = ("post", "put", "patch")


class Schema(AutoSchema):
    """Gives every operation a summary: a verb and a kind of row, or the first clause of its docstring."""

    def get_summary(self) -> str:
        action = getattr(self.view, "action", "") or self.method.lower()
        method = getattr(self.view, action, None)
        doc = get_doc(method) or ("" if action in VERBS else get_doc(type(self.view)))
        if doc:
            return re.split(r"[.;:](?:\s|$)", doc, maxsplit=1)[0]
        rows = getattr(self.view, "queryset", None)
        assert rows is not None, f"{action} of {type(self.view).__name__} needs a docstring or a summary"
        meta = rows.model._meta
        return f"{VERBS[action]} {meta.verbose_name_plural if action == 'list' else _with_article(meta.verbose_name)}"


def _with_article(noun: object) -> str:
    return f"{'an' if str(noun)[0] in 'aeiou' else 'a'} {noun}"


class ApiTokenScheme(OpenApiAuthenticationExtension):
    target_class = "apps.accounts.authentication.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token created under “API tokens” in the portal, with read or write scope.",
        }


# --- errors ----------------------------------------------------------------------------------------------------------

IDEMPOTENCY_KEY: dict[str, Any] = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A text of your own, such as a UUID. A request that is repeated with the same key within a day is "
    "carried out once, and gets the same answer with `Idempotency-Replayed: true`.",
}
SENT_WHOLE = ("/predictions/{candidate}/{name}/", "/report/pdf/")
"""Small files that are made when they are asked for; nobody needs a part of them."""
RANGE: dict[str, Any] = {
    "in": "header",
    "name": "Range",
    "schema": {"type": "string"},
    "description": "One range of bytes, such as `bytes=1000-`, to go on after a cut download. With `If-Range`, the "
    "part is sent only if the file is still the same.",
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` never changes; docs/errors.md lists all codes.",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "`urn:lathe:problem:` followed by the code."},
        "title": {"type": "string", "description": "The phrase of the HTTP status."},
        "status": {"type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A message for people that says what happened and what to do."},
        "code": {"type": "string", "pattern": r"^[a-z]+\.[a-z_]+$"},
        "errors": {
            "type": "array",
            "description": "One entry per invalid field of the body, parameter, or referenced row.",
            "items": {"$ref": "#/components/schemas/ProblemField"},
        },
        "conflicts": {
            "type": "array",
            "description": "Conflicts of criteria, each with the resolutions that can be applied.",
            "items": {"$ref": "#/components/schemas/Conflict"},
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
    "additionalProperties": False,
}
FIELD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "field": {
            "type": ["string", "null"],
            "description": "The field's path with dots, such as `constraints.min_speedup`; null for the whole body.",
        },
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
    "required": ["field", "code", "message"],
    "additionalProperties": False,
}

ANSWERS = {
    400: "The request is invalid. `errors` names the fields.",
    401: "The token is missing, unknown, expired or revoked.",
    403: "Your role or your token's scope does not allow it.",
    404: "Not found, or not visible to you.",
    409: "The request conflicts with the current state.",
    410: "It existed, but was deleted.",
    413: "The file or body is larger than allowed.",
    416: "The file has none of the bytes in `Range`.",
    415: "The media type of the body is not supported.",
    422: "The request is valid, but cannot be carried out.",
    429: "Too many requests. `Retry-After` gives the seconds to wait.",
    503: "A required service is unavailable. Nothing was changed. `Retry-After` says when to try again.",
}


def document_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: adds the two problem schemas, one response per status, and the statuses of each
    operation.
    """
    components = result["components"]
    components["schemas"] |= {"Problem": PROBLEM_SCHEMA, "ProblemField": FIELD_SCHEMA}
    components["responses"] = {f"Problem{status}": _response(status, text) for status, text in ANSWERS.items()}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            for status in statuses(method, path, operation):
                answers = operation["responses"]
                answers.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
            _add_headers(method, path, operation)
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def _add_headers(method: str, path: str, operation: Operation) -> None:
    """The key that a POST may have, and the answer to a GET whose body the client has already."""
    if method == "post":
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    if method == "get":
        is_file = FILE in operation["responses"].get("200", {}).get("content", {})
        if is_file and not path.endswith(SENT_WHOLE):
            operation.setdefault("parameters", []).append(RANGE)
            part = operation["responses"]["200"] | {"description": "The bytes in `Range`."}
            operation["responses"] |= {"206": part, "416": {"$ref": "#/components/responses/Problem416"}}
        operation["responses"].setdefault("304", {"description": "Not changed since the `ETag` in `If-None-Match`."})


def statuses(method: str, path: str, operation: Operation) -> set[int]:
    """The possible problem statuses of an operation, depending on its inputs."""
    found = {401, 404, 429, 503}
    if _is_plain_list(operation) or any(one["in"] == "query" for one in operation.get("parameters", ())):
        found.add(400)
    if method in WRITES:
        found |= {403, 409}
    if method in BODIES:
        found |= {400, 413, 415, 422}
    if "/uploads/" in path or path.endswith("/sessions/{id}/file/"):
        found.add(410)
    if "/compare/" in path:
        found.add(422)
    return found


def _is_plain_list(operation: Operation) -> bool:
    """Whether the response is an unpaginated list, which also refuses unknown parameters."""
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    return bool(answer.get("schema", {}).get("type") == "array")


def _response(status: int, text: str) -> dict[str, Any]:
    problems = {one.code: one.as_dict() for one in request_problems() if one.status == status}
    media: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if problems:
        media["examples"] = {code: {"value": value} for code, value in problems.items()}
    response: dict[str, Any] = {"description": text, "content": {PROBLEM: media}}
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}}
    return response


# --- titles ----------------------------------------------------------------------------------------------------------

_VALUES = frozenset({"default", "example", "examples", "const", "enum"})
"""Keywords whose content is a value and not a schema."""


def without_titles(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: removes the titles that pydantic gives to every schema and property.

    They repeat names, and generators of clients name classes after them: of two schemas with one title, such as
    `Criteria` and `CriteriaRequest`, one would be dropped.
    """
    _remove_titles(list(result["components"]["schemas"].values()))
    return result


def _remove_titles(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _remove_titles(one)
    if not isinstance(schema, dict):
        return
    schema.pop("title", None)
    for keyword, content in schema.items():
        if keyword == "properties":  # One of them may be called `title`.
            _remove_titles(list(content.values()))
        elif keyword not in _VALUES:
            _remove_titles(content)
