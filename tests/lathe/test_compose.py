"""compose.yaml as Docker Compose itself reads it: by its schema, with all variables and anchors filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.compose import Refused, services

pytestmark = pytest.mark.portable

GIVEN = {
    "LATHE_BASE_URL": "https://lathe.example.org",
    "LATHE_SECRET_KEY": "only-for-this-test-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "POSTGRES_PASSWORD": "of-the-database",
    "REDIS_WEB_PASSWORD": "of-the-web",
    "REDIS_WORKER_PASSWORD": "of-the-workers",
}
"""What an operator has to set."""


def test_compose_takes_the_file_of_an_operator_who_has_set_what_must_be_set() -> None:
    found = services(GIVEN)
    assert {"migrate", "web", "worker", "worker-gpu", "postgres", "redis"} == found.keys()
    web, worker, redis = (found[name] for name in ("web", "worker", "redis"))
    database = "postgres://lathe:of-the-database@postgres:5432/lathe"
    assert web["environment"]["DATABASE_URL"] == f"{database}?pool=20"
    assert worker["environment"]["DATABASE_URL"] == database
    assert (web["environment"]["REDIS_URL"], worker["environment"]["REDIS_URL"]) == (
        "redis://web:of-the-web@redis:6379/0",
        "redis://worker:of-the-workers@redis:6379/0",
    )
    assert "user web reset on >${REDIS_WEB_PASSWORD} " in redis["command"][-1], "the shell in the container fills it in"
    assert worker["environment"]["LATHE_QUEUES"] == "default,checks,cpu"
    assert "LATHE_QUEUES" not in web["environment"]
    assert int(redis["mem_limit"]) == 2**30


def test_a_limit_of_the_operator_reaches_what_redis_computes_with() -> None:
    redis = services({**GIVEN, "REDIS_MEMORY": "512m"})["redis"]
    assert (int(redis["mem_limit"]), redis["environment"]["REDIS_MEMORY"]) == (2**29, "512m")


@pytest.mark.parametrize("missing", GIVEN)
def test_without_a_variable_that_must_be_set_nothing_starts(missing: str) -> None:
    with pytest.raises(Refused, match=missing):
        services({name: value for name, value in GIVEN.items() if name != missing})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("services: {web: {memlimit: 2g}}", "additional properties 'memlimit' not allowed"),
        ("services: {web: {depends_on: {nobody: {condition: service_healthy}}}}", "nobody"),
        ("services: {web: {mem_limit: much}}", "much"),
    ],
)
def test_a_misspelt_field_a_stranger_or_a_wrong_value_would_be_found(tmp_path: Path, wrong: str, told: str) -> None:
    (tmp_path / "wrong.yaml").write_text(wrong)
    with pytest.raises(Refused, match=told):
        services(GIVEN, tmp_path / "wrong.yaml")
