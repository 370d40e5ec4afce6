"""The API's document as a judge: does an answer keep to what is written of it?"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from rest_framework.test import APIClient

ADDRESS = "urn:lathe:document"
PROBLEM = "application/problem+json"


class Contract:
    """The document, and a judge by it."""

    def __init__(self) -> None:
        written = SchemaGenerator().get_schema(request=None, public=True)
        self.document: dict[str, Any] = json.loads(OpenApiJsonRenderer().render(written))
        whole = Resource(contents=self.document, specification=DRAFT202012)
        self.registry: Registry[Any] = Registry().with_resource(ADDRESS, whole)
        self.patterns = {
            path: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "$") for path in self.document["paths"]
        }

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Every method, path and description."""
        return [
            (method, path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        ]

    def template(self, path: str) -> str | None:
        """The path of the document that `path` is one of; the most literal one where several fit."""
        fitting = [template for template, pattern in self.patterns.items() if pattern.match(path)]
        return min(fitting, key=lambda template: template.count("{"), default=None)

    def problems_with(self, value: Any, *pointer: str) -> list[str]:
        """What is wrong with `value` by the schema at `pointer`."""
        fragment = "/".join(quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in pointer)
        validator = Draft202012Validator(
            {"$ref": f"{ADDRESS}#/{fragment}"},
            registry=self.registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{'.'.join(map(str, error.path))}: {error.message[:300]}" for error in validator.iter_errors(value)]

    def judge(self, method: str, path: str, response: HttpResponse) -> None:
        """Asserts that the answer's status, media type and body are as the document says."""
        what = f"{method.upper()} {path} → {response.status_code}"
        template = self.template(path)
        operation = self.document["paths"].get(template, {}).get(method.lower())
        media = response.headers.get("Content-Type", "").partition(";")[0]
        if operation is None or response.status_code == 405:
            assert response.status_code in (401, 404, 405), f"{what}: an answer without a description"
            assert not self.problems_with(response.json(), "components", "schemas", "Problem")
            return
        assert str(response.status_code) in operation["responses"], (
            f"{what} is not described: {response.content[:300]!r}"
        )
        at: tuple[str, ...] = ("paths", str(template), method.lower(), "responses", str(response.status_code))
        described = operation["responses"][str(response.status_code)]
        if reference := described.get("$ref"):
            at = tuple(reference.removeprefix("#/").split("/"))
            described = self.document["components"]["responses"][at[-1]]
        if "content" not in described:
            assert not response.content, f"{what}: a body where none is described"
            return
        assert media in described["content"], f"{what}: {media} is not described"
        if media.endswith("json"):
            wrong = self.problems_with(json.loads(response.content), *at, "content", media, "schema")
            assert not wrong, f"{what}: {wrong}"


@cache
def contract() -> Contract:
    """The one of this process."""
    return Contract()


class Client(APIClient):
    """A client that holds every answer against the document."""

    def __init__(self, contract: Contract, token: str = "") -> None:
        super().__init__()
        self.contract = contract
        if token:
            self.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        if request["REQUEST_METHOD"] not in ("HEAD", "OPTIONS") and request["PATH_INFO"].startswith("/api/v1/"):
            self.contract.judge(request["REQUEST_METHOD"], request["PATH_INFO"], response)
        return response
