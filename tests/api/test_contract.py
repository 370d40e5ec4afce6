"""Every answer keeps to the document: for each operation, its examples, and wrong bodies without end."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from rest_framework.throttling import SimpleRateThrottle

from apps.accounts.models import User
from apps.agents.contracts.reports.model import Signature
from apps.agents.contracts.state import Plan
from apps.models.models import AliasMove, ModelMetadata
from apps.models.services import append_chunk
from apps.models.storage import put_stream
from apps.optimization.models import OptimizationSession
from tests.api.asking import JSON, address, examples, filled
from tests.api.conftest import Api
from tests.api.contract import Client, Contract
from tests.api.contract import contract as contracted
from tests.models.conftest import linear_model, npz
from tests.portal.standing import Standing
from tests.portal.world import World

pytestmark = pytest.mark.django_db

OPERATIONS = sorted((method, path) for method, path, _ in contracted().operations())
WITH_BODY = [
    (method, path)
    for method, path, operation in contracted().operations()
    if JSON in operation.get("requestBody", {}).get("content", {})
]


@pytest.fixture
def owner(standing: Standing) -> User:
    return standing.owner


@pytest.fixture
def everything(standing: Standing) -> World:
    return standing.everything


@pytest.fixture
def mine(api: Api, owner: User) -> Client:
    return api(owner)


def ask(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.generic(method.upper(), path, *(() if body is None else (encoded(client, body), JSON)))


def encoded(client: Client, body: Any) -> bytes:
    return client._encode_data(body, format="json")[0]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_answer_is_as_described(mine: Client, everything: World, contract: Contract, method: str, path: str) -> None:
    """The client judges; with no body where one is wanted, the answer is a described problem."""
    if method == "get":
        make_ready(path, everything)
    answer = ask(mine, method, address(path, everything))
    if method == "get":
        assert answer.status_code == 200


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_a_token_the_answer_is_401_as_described(
    anybody: Client, everything: World, method: str, path: str
) -> None:
    answer = ask(anybody, method, address(path, everything))
    assert (answer.status_code, answer.json()["code"]) == (401, "request.not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_each_example_of_the_document_is_accepted(
    mine: Client, everything: World, contract: Contract, method: str, path: str
) -> None:
    operation = contract.document["paths"][path][method]
    for name, example in examples(operation).items():
        make_ready(path, everything)
        answer = ask(mine, method, address(path, everything), filled(example, everything))
        assert 200 <= answer.status_code < 300, (name, answer.content)


def make_ready(path: str, world: World) -> None:
    """What an example takes for granted: an upload that is complete, something to continue, promote and take back."""
    if path in ("/api/v1/versions/", "/api/v1/datasets/"):
        data = linear_model() if "versions" in path else npz({"x": ("<f4", (12, 4)), "y": ("<i8", (12,))})
        world.upload.size_bytes = len(data)
        world.upload.save()
        append_chunk(world.upload, 0, BytesIO(data))
    if path.endswith(("/promote/", "/sessions/{id}/file/", "/speed/")):
        world.session.steps.filter(candidate_key="").update(candidate_key="c01", artifact=put_stream([linear_model()]))
    if path.endswith("/continue/"):
        world.session.steps.filter(key="analyse").update(identity="a" * 64)
    if path.endswith("/take/"):
        make_takable(world.session)
    if path.endswith("/sessions/bulk/"):
        OptimizationSession.objects.update(status="failed")
    if path.startswith("/api/v1/operations/"):
        User.objects.update(is_staff=True, is_superuser=True)
        OptimizationSession.objects.update(status="failed")
    if path == "/api/v1/notification-channels/":
        User.objects.update(is_staff=True)
    if path.endswith("/signature/"):
        named = Signature(name="serving_embeddings", inputs=(), outputs=())
        summary = world.version.metadata.summary
        changed = summary.model_copy(update={"signature": named.name, "signatures": (named,)})
        ModelMetadata.record(world.version, changed)
    if path.endswith("/resolve/"):
        world.criteria.body["constraints"] |= {"max_metric_drop_points": 1.0, "max_metric_drop_relative": 0.01}
        world.criteria.save()
    if path.endswith(("/rollback/", "/undo/")):
        OptimizationSession.objects.update(result_version=world.version)
        AliasMove.objects.create(alias=world.alias, from_version=world.version, to_version=world.version)


def make_takable(session: OptimizationSession) -> None:
    """A second candidate, `c02`, that was measured as the first one was, and the package of the first."""
    session.steps.filter(key="plan").update(result=session.plan)
    body = session.steps.get(key="c01/evaluate").result | {"part": "choosing"}
    planned = Plan.model_validate(session.plan).candidates[1]
    session.candidates.create(
        key=planned.key, title=planned.title, technique=planned.technique, reason="", predicted={}, status="accepted",
        steps=[link.model_dump(mode="json") for link in planned.steps],
    )  # fmt: skip
    made = {"status": "completed", "candidate_key": planned.key, "technique": planned.technique}
    artifact = put_stream([linear_model()])
    session.steps.create(key="c02/optimize", kind="optimize", artifact=artifact, parameters=planned.parameters, **made)
    session.steps.create(key="c02/evaluate", kind="evaluate", parent_key="c02/optimize", result=body, **made)
    closing = {"verdict": session.verdict}
    session.steps.create(key="package", kind="package", status="completed", parameters=closing)


WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63,
    10**25,
    -(10**25),
    1.5,
    1e300,
    "",
    "  ",
    "a\x00b",
    "a\x01b",
    "9" * 25,
    "x" * 10_000,
    [],
    [None],
    [2**70],
    [[]],
    {},
    {"a": {"b": [1]}},
)


def changed(body: Any, value: Any) -> Iterator[Any]:
    """The body with `value` in the place of each of its parts, at every depth."""
    if isinstance(body, dict):
        for name, part in body.items():
            yield {**body, name: value}
            yield from ({**body, name: inner} for inner in changed(part, value))


def wrong_bodies(example: dict[str, Any]) -> Iterator[Any]:
    """The example without a field, with a wrong value in one, with one too many; and what is no object at all."""
    yield from ("text", 7, [example], *WRONG)
    yield {**example, "nobody": 1}
    yield from ({other: kept for other, kept in example.items() if other != name} for name in example)
    for wrong in WRONG:
        yield from changed(example, wrong)


@pytest.fixture
def _as_often_as_there_is_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"anon": None, "user": None})


@pytest.mark.usefixtures("_as_often_as_there_is_to_ask")
@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_wrong_body_is_never_an_error_of_ours(
    mine: Client, everything: World, contract: Contract, method: str, path: str
) -> None:
    operation = contract.document["paths"][path][method]
    for example in examples(operation).values():
        for body in wrong_bodies(filled(example, everything)):
            answer = ask(mine, method, address(path, everything), body)
            assert answer.status_code < 500, (body, answer.content)


NAMES_OF_NOTHING = ("0", "-1", "1e3", "%00", "%F0%9F%90%9F", "9" * 40, "..", "a.b", "'--")


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if "{" in one[1]])
def test_a_name_of_nothing_is_not_found(mine: Client, method: str, path: str) -> None:
    before, _, after = path.partition("{")
    for name in NAMES_OF_NOTHING:
        answer = mine.generic(method.upper(), f"{before}{name}{after.partition('}')[2]}")
        assert (answer.status_code, answer.json()["code"]) == (404, "request.not_found"), name
