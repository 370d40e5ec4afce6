"""Clients that tools generate from the OpenAPI document work: nothing is left out, and they can start a session."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import httpx
import pytest

from apps.accounts.models import TokenScope, User
from apps.accounts.services import create_token
from apps.optimization.models import OptimizationSession
from tests.api.contract import Client, Contract, contract
from tests.portal.world import World

PACKAGE = "generated_lathe_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A client by openapi-python-client, made without one warning."""
    folder = tmp_path_factory.mktemp("client")
    document, settings = folder / "openapi.json", folder / "settings.json"
    document.write_text(json.dumps(contract().document))
    settings.write_text(json.dumps({"post_hooks": []}))  # Nobody reads how it is formatted.
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta=none"]
    command += [f"--path={document}", f"--config={settings}", f"--output-path={folder / PACKAGE}"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield import_module(PACKAGE)
    sys.path.remove(str(folder))


def part(client: ModuleType, name: str) -> Any:
    return import_module(f"{client.__name__}.{name}")


def test_every_schema_becomes_a_class(generated: ModuleType, contract: Contract) -> None:
    models = part(generated, "models")
    missing = [
        name
        for name, schema in contract.document["components"]["schemas"].items()
        if "properties" in schema and not hasattr(models, name)
    ]
    assert not missing


def answered_by(client: Client) -> httpx.MockTransport:
    """Requests of httpx, answered by the application in this process, as `client` sends them."""

    def answer(request: httpx.Request) -> httpx.Response:
        sent = {"HTTP_AUTHORIZATION": request.headers["Authorization"]}
        media = request.headers.get("Content-Type", "application/octet-stream")
        made = client.generic(request.method, request.url.path, request.content, media, **sent)
        return httpx.Response(made.status_code, headers=dict(made.headers), content=made.content)

    return httpx.MockTransport(answer)


def test_a_generated_client_starts_a_session_and_reads_it(
    generated: ModuleType, everything: World, anybody: Client, engineer: User
) -> None:
    _, token = create_token(engineer, name="generated", scope=TokenScope.WRITE, days=1)
    client = generated.AuthenticatedClient(
        base_url="http://testserver", token=token, httpx_args={"transport": answered_by(anybody)}
    )
    models = part(generated, "models")
    criteria = models.CriteriaRequest(
        objective=models.Objective.SIZE, constraints=models.Constraints(max_metric_drop_points=2.0)
    )
    question = models.NewSessionRequest(
        version=everything.version.pk, dataset=everything.dataset.pk, criteria=criteria, seed=7, start_anyway=True
    )

    started = part(generated, "api.sessions.sessions_create").sync(client=client, body=question)

    assert isinstance(started, models.Session), started
    assert OptimizationSession.objects.get(pk=started.id).criteria.constraints.max_metric_drop_points == 2.0
    read = part(generated, "api.sessions.sessions_retrieve").sync(str(started.id), client=client)
    assert (read.id, read.criteria.objective, read.status) == (started.id, models.Objective.SIZE, models.Status.QUEUED)
