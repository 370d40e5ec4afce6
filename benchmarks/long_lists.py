"""How the pages and lists answer for a team with very many sessions, beside a team with few.

    python benchmarks/long_lists.py [--sessions 100000]

Fills the database of `DATABASE_URL` (by default SQLite in a temporary folder) with two teams, asks each address as a
member of either, and prints the medians and their ratio. Exits with 1 when a ratio passes 3.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FEW = 100
LIMIT = 3.0
ROUNDS = 7


def fill(slug: str, sessions: int) -> Any:
    """A team with so many models, versions and sessions, each with a candidate that was selected; its engineer."""
    from django.utils import timezone

    from apps.accounts.models import Membership, Role, Team, User
    from apps.agents.contracts.criteria import Criteria
    from apps.models.models import Blob, DataSet, InspectionStatus, ModelVersion, RegisteredModel
    from apps.optimization.models import Candidate, EvaluationReport, OptimizationSession, SessionStep

    user = User.objects.create_user(f"{slug}@example.org", "correct horse battery")
    team = Team.objects.create(name=slug, slug=slug)
    Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
    blob, _ = Blob.objects.get_or_create(sha256="a" * 64, defaults={"size_bytes": 1})
    ready = {"blob": blob, "status": InspectionStatus.READY}
    dataset = DataSet.objects.create(team=team, name="digits", filename="d.npz", spec={"task": "fidelity"}, **ready)
    models = RegisteredModel.objects.bulk_create(
        [RegisteredModel(team=team, name=f"net {number}") for number in range(max(1, sessions // 10))]
    )
    versions = ModelVersion.objects.bulk_create(
        [ModelVersion(model=model, number=1, filename="net.onnx", **ready) for model in models]
    )
    criteria, now = Criteria().model_dump(mode="json"), timezone.now()
    rows = [
        OptimizationSession(
            team=team,
            version=versions[number % len(versions)],
            dataset=dataset,
            criteria_body=criteria,
            status="completed",
            outcome="improved",
            verdict={"outcome": "improved", "reason": "Faster."},
            plan={"summary": "x" * 4000, "candidates": [], "omitted": []},
            created_at=now - timedelta(minutes=number),
            finished_at=now - timedelta(minutes=number),
        )
        for number in range(sessions)
    ]
    OptimizationSession.objects.bulk_create(rows, batch_size=2000)
    common = {"title": "int8", "technique": "onnx-static-int8", "predicted": {}, "reason": ""}
    candidates = [Candidate(session=row, key="c01", status="selected", **common) for row in rows]
    Candidate.objects.bulk_create(candidates, batch_size=2000)
    measured = {"speedup": 3.0, "size_ratio": 4.0, "metric_drop": 0.0, "candidate_p50_ms": 1.0, "candidate_metric": 90}
    steps = [SessionStep(session=row, key="c01/evaluate", kind="evaluate", status="completed") for row in rows]
    SessionStep.objects.bulk_create(steps, batch_size=2000)
    made = zip(candidates, steps, strict=True)
    EvaluationReport.objects.bulk_create(
        [EvaluationReport(candidate=one, step=step, verdict="holds", **measured) for one, step in made], batch_size=2000
    )
    return user


def addresses(sessions: int) -> dict[str, str]:
    last_page, last_api = -(-sessions // 25), -(-sessions // 50)
    return {
        "dashboard": "/",
        "sessions, first page": "/sessions/",
        "sessions, last page": f"/sessions/?page={last_page}",
        "sessions, completed": "/sessions/?status=completed",
        "new session": "/sessions/new/",
        "API sessions, first page": "/api/v1/sessions/",
        "API sessions, last page": f"/api/v1/sessions/?page={last_api}",
        "models": "/models/",
        "audit": "/audit/",
    }


def median_ms(client: Any, address: str) -> float:
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        answer = client.get(address)
        spent.append(1000 * (time.perf_counter() - start))
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return statistics.median(spent)


def _gather_statistics() -> None:
    """What PostgreSQL does by itself within a minute of so many new rows. SQLite never does."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def main() -> int:
    asked = argparse.ArgumentParser(description="Time the lists of a team with very many sessions.")
    asked.add_argument("--sessions", type=int, default=100_000)
    many = asked.parse_args().sessions
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LATHE_VAR_DIR": folder, "LATHE_ALLOWED_HOSTS": "testserver", "LATHE_LOG_LEVEL": "WARNING"}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lathe.settings")
        sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.test import Client

        settings.CACHES["default"] = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        call_command("migrate", verbosity=0)
        clients = {}
        for slug, sessions in (("few", FEW), ("many", many)):
            clients[slug] = Client()
            clients[slug].force_login(fill(slug, sessions), backend="apps.accounts.authentication.PasswordBackend")
        _gather_statistics()
        worst = 0.0
        for name, address in addresses(many).items():
            small = median_ms(clients["few"], addresses(FEW)[name])
            large = median_ms(clients["many"], address)
            worst = max(worst, large / small)
            print(f"{name:26} {small:8.1f} ms with {FEW}, {large:8.1f} ms with {many:,}: {large / small:5.1f} times")
        return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
