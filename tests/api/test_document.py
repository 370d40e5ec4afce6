"""The OpenAPI document: valid, complete, and of use to somebody who has never seen Lathe."""

from __future__ import annotations

import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver
from openapi_spec_validator import validate

from apps.accounts.models import User
from lathe import document
from lathe.schema import BODIES, WRITES
from tests.api.asking import JSON, examples
from tests.api.contract import PROBLEM, Contract

METHODS = ("get", *WRITES)


def routes() -> set[tuple[str, str]]:
    """Every method and path that the router answers, in the document's spelling; not its list of links."""
    found = set()

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> None:
        for pattern in patterns:
            path = before + re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(pattern.pattern).strip("^$")).replace(r"\Z", "")
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, path)
            elif pattern.name != "api-root":
                view = pattern.callback
                methods = getattr(view, "actions", None) or {name: name for name in METHODS if hasattr(view.cls, name)}
                found.update((method, path.replace("{pk}", "{id}")) for method in methods if method != "head")

    api = next(one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == "api")
    walk(api.url_patterns, "/api/v1/")
    return found


def test_it_is_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "openapi.yml"))


def test_it_is_valid_by_another_judge(contract: Contract) -> None:
    validate(contract.document)


def test_it_has_every_route_and_no_other(contract: Contract) -> None:
    assert {(method, path) for method, path, _ in contract.operations()} == routes()


def test_every_operation_says_what_it_does(contract: Contract) -> None:
    operations = contract.operations()
    for method, path, operation in operations:
        assert operation.get("summary"), f"{method} {path}"
        assert operation.get("description"), f"{method} {path}"
        assert len(operation["tags"]) == 1, f"{method} {path}"
    identities = [operation["operationId"] for _, _, operation in operations]
    assert len(set(identities)) == len(identities)


def test_every_tag_is_described(contract: Contract) -> None:
    used = {tag for _, _, operation in contract.operations() for tag in operation["tags"]}
    described = {tag["name"] for tag in contract.document["tags"] if tag["description"]}
    assert described == used


def test_every_body_has_an_example_that_fits_its_schema(contract: Contract) -> None:
    for method, path, operation in contract.operations():
        if JSON not in operation.get("requestBody", {}).get("content", {}):
            continue
        given = examples(operation)
        assert given, f"{method} {path} has no example"
        for name, value in given.items():
            at = ("paths", path, method, "requestBody", "content", JSON, "schema")
            assert not contract.problems_with(value, *at), f"{method} {path}: {name}"


def test_a_write_without_json_takes_bytes_or_nothing(contract: Contract) -> None:
    bodies = {
        path: list(operation["requestBody"]["content"])
        for _, path, operation in contract.operations()
        if "requestBody" in operation
    }
    assert {media for path in bodies for media in bodies[path]} == {
        JSON,
        "multipart/form-data",
        "application/octet-stream",
    }
    forms = {path.split("/")[3] for path, media in bodies.items() if "multipart/form-data" in media}
    assert forms == {"datasets", "versions"}


def test_every_operation_describes_its_problems(contract: Contract) -> None:
    for method, path, operation in contract.operations():
        expected = {"401", "404", "429"}
        if method in WRITES:
            expected |= {"403", "409"}
        if method in BODIES:
            expected |= {"400", "415", "422"}
        assert expected <= set(operation["responses"]), f"{method} {path}"
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response == {"$ref": f"#/components/responses/Problem{status}"}, f"{method} {path}"
    for response in contract.document["components"]["responses"].values():
        assert list(response["content"]) == [PROBLEM]
        for one in response["content"][PROBLEM].get("examples", {}).values():
            assert not contract.problems_with(one["value"], "components", "schemas", "Problem")


def test_a_part_can_be_asked_for_of_stored_files_only(contract: Contract) -> None:
    paths = contract.document["paths"]
    of_stored = {path for path, operations in paths.items() if "206" in operations.get("get", {}).get("responses", {})}
    assert "/api/v1/sessions/{id}/package/" in of_stored
    assert "/api/v1/sessions/{id}/report/pdf/" not in of_stored


def test_a_list_says_how_it_is_cut_filtered_and_ordered(contract: Contract) -> None:
    listed = {
        path: {parameter["name"] for parameter in operation.get("parameters", ())}
        for method, path, operation in contract.operations()
        if operation["operationId"].endswith("_list") and path not in ("/api/v1/techniques/",)
        if "{" not in path and method == "get"
    }
    assert len(listed) == 22
    for path, parameters in listed.items():
        assert {"page", "page_size", "ordering"} <= parameters, path


def test_it_says_how_to_log_in(contract: Contract) -> None:
    schemes = contract.document["components"]["securitySchemes"]
    assert (schemes["apiToken"]["type"], schemes["apiToken"]["scheme"]) == ("http", "bearer")
    assert schemes["apiToken"]["description"]
    for method, path, operation in contract.operations():
        assert {"apiToken": []} in operation["security"], f"{method} {path}"


class Loaded(HTMLParser):
    """What a page makes the browser fetch, and the scripts that stand in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.written_scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "img", "link", "iframe"):
            self.addresses += [str(found[name]) for name in ("src", "href") if found.get(name)]
        self.written_scripts += tag == "script" and not found.get("src")


@pytest.mark.django_db
def test_the_page_of_the_document_loads_nothing_from_elsewhere(client: Browser, owner: User) -> None:
    assert client.get("/api/docs/").status_code == 302, "like every page it asks who looks"
    client.force_login(owner)
    page = client.get("/api/docs/")
    loaded = Loaded(page.content.decode())
    assert page.status_code == 200
    assert len(loaded.addresses) >= 4
    assert loaded.written_scripts == 0
    for address in loaded.addresses:
        assert not urlsplit(address).netloc, address
        assert client.get(address).status_code == 200, address
    assert 'data-schema="/api/schema/"' in page.content.decode()
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]


@pytest.mark.django_db
def test_it_is_served_as_yaml_and_as_json(client: Browser, contract: Contract) -> None:
    assert client.get("/api/schema/").headers["Content-Type"].startswith("application/vnd.oai.openapi")
    served = client.get("/api/schema/?format=json", headers={"Accept": "application/json"}).json()
    assert served["paths"].keys() == contract.document["paths"].keys()


def test_many_who_ask_at_once_are_all_answered() -> None:
    """The first of them makes it, and nobody's is made a second time."""
    document._document.cache_clear()
    document._rendered.cache_clear()
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(Browser().get("/api/schema/"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert document._document.cache_info().misses == 1


@pytest.mark.django_db
def test_who_has_it_already_is_told_so(client: Browser) -> None:
    first = client.get("/api/schema/")
    again = client.get("/api/schema/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    as_json = client.get("/api/schema/?format=json")
    assert as_json["ETag"] != first["ETag"]
    assert {"Accept", "Cookie"} & set(first.get("Vary", "").split(", ")), "one notation is not another's"
    assert client.get("/api/schema/?format=xml").status_code == 404
