"""A backup, by the commands that docs/deployment.md shows, is worth what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from lathe.env import PROJECT_ROOT
from tests.faults import backup, postgres
from tests.faults.scenarios import EVALUATE
from tests.faults.system import System, running_system
from tests.faults.trial import PATIENCE_S, Bench


def test_the_documentation_shows_what_is_tried_here() -> None:
    programs = [command.split()[0] for command in backup.commands("Backup")]
    assert programs == ["pg_dump", "tar", "pg_restore", "tar"]


def test_a_dump_is_restored_once_the_database_is_there() -> None:
    """Not while an empty volume is filled by a server that answers at its socket and is stopped again."""
    starts = backup.DOCS.read_text().partition("\ndocker compose exec -T postgres pg_restore")[0].splitlines()[-1]
    assert starts == "docker compose up --detach --wait postgres"
    services = yaml.safe_load((PROJECT_ROOT / "compose.yaml").read_text())["services"]
    assert "--host=127.0.0.1" in services["postgres"]["healthcheck"]["test"]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.recovery
@pytest.mark.skipif(postgres.program("pg_dump") is None, reason="no PostgreSQL is installed here")
def test_sessions_go_on_in_an_installation_that_was_restored(tmp_path: Path) -> None:
    with running_system() as first:
        bench = Bench(first)
        expected = bench.undisturbed
        cancelled, _ = bench.waiting_in(EVALUATE)
        first.member.cancel(cancelled)
        bench.ended(cancelled, PATIENCE_S)
        running, _ = bench.waiting_in(EVALUATE)
        backup.back_up(first, tmp_path)
        told = first.member.furnished

    def restored(system: System) -> Mapping[str, object]:
        backup.restore(system, tmp_path)
        system.command("manage.py", "migrate", "--verbosity", "0")
        return told

    with running_system(furnish=restored) as second:
        bench = Bench(second)
        bench.ended(running, PATIENCE_S)
        assert second.member.verdict(running) == expected, "it went on by itself"
        second.member.resume(cancelled)
        bench.ended(cancelled, PATIENCE_S)
        assert second.member.verdict(cancelled) == expected
        second.command("manage.py", "verify_audit")
