"""(c) The lists of a team with very many sessions, beside those of a team with few."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from benchmarks.installation import Place
from benchmarks.load.form import Form
from benchmarks.load.report import Found, Table
from benchmarks.truth.rows import Row

FEW = 100
LIMIT = 1.5
ORDERED_LIMIT = 2.0
"""Put in order by a column that has no index of its own, all rows are looked at: in an index, if it has the column."""
SLACK_MS = 5.0
"""Two answers that are less than this apart are the same: a page of 10 ms moves by that from one time to the next."""
ROUNDS = 15


def found(form: Form, place: Place) -> Found:
    from django.conf import settings
    from django.test import Client

    # In this process, so that nothing else takes its time; counts that the portal keeps for a while are made anew.
    settings.CACHES["default"] = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    clients = {}
    for slug, sessions in (("few", FEW), ("many", form.sessions)):
        clients[slug] = Client()
        clients[slug].force_login(fill(slug, sessions), backend="apps.accounts.authentication.PasswordBackend")
    _gather_statistics()
    few, many = addresses(FEW), addresses(form.sessions)
    times = {name: in_turns(clients["few"], few[name], clients["many"], many[name]) for name in many}
    usual = {name: pair for name, pair in times.items() if name not in ordered()}
    how = f"Medians of {ROUNDS} requests in turns, in CPU and waiting time of the whole request, without a network."
    claim = f"a list of {form.sessions:,} sessions takes at most so many times one of {FEW}"
    rows = (
        _bounded(claim, usual, LIMIT),
        _bounded(f"{claim}, in the order of any column", {name: times[name] for name in ordered()}, ORDERED_LIMIT),
    )
    head = ("list", f"{FEW} sessions, ms", f"{form.sessions:,} sessions, ms", "ratio")
    lines = tuple((name, f"{one:.1f}", f"{other:.1f}", f"{other / one:.2f}") for name, (one, other) in times.items())
    return Found("Long lists", how, rows, (Table(head, lines),))


def _bounded(claim: str, times: dict[str, tuple[float, float]], limit: float) -> Row:
    slower = {name: large / small for name, (small, large) in times.items() if large - small > SLACK_MS}
    where = max(slower, key=slower.__getitem__, default="")
    worst = slower.get(where, 0.0)
    told = f"{worst:.2f} ({where})" if where else f"no list is {SLACK_MS:.0f} ms slower"
    return Row(claim, f"≤ {limit}, or {SLACK_MS:.0f} ms", told, worst <= limit)


def fill(slug: str, sessions: int) -> Any:
    """A team with so many sessions, each with a candidate that was selected, and a tenth as many models; its
    engineer.
    """
    from benchmarks.people import member

    user, team = member(slug)
    versions, dataset = _store_of(team, max(1, sessions // 10))
    _judged(_sessions_of(team, versions, dataset, sessions))
    return user


def _store_of(team: Any, many: int) -> tuple[list[Any], Any]:
    """So many models with a version each, and a data set."""
    from apps.models.models import Blob, DataSet, InspectionStatus, ModelVersion, RegisteredModel

    blob, _ = Blob.objects.get_or_create(sha256="a" * 64, defaults={"size_bytes": 1})
    ready = {"blob": blob, "status": InspectionStatus.READY}
    dataset = DataSet.objects.create(
        team=team, name="digits", filename="d.npz", spec={"kind": "npz", "task": "fidelity"}, **ready
    )
    models = RegisteredModel.objects.bulk_create(
        [RegisteredModel(team=team, name=f"net {number}") for number in range(many)]
    )
    versions = ModelVersion.objects.bulk_create(
        [ModelVersion(model=model, number=1, filename="net.onnx", **ready) for model in models]
    )
    return versions, dataset


def _sessions_of(team: Any, versions: list[Any], dataset: Any, many: int) -> list[Any]:
    """Completed sessions, a minute apart."""
    from django.utils import timezone

    from apps.agents.contracts.criteria import Criteria
    from apps.optimization.models import OptimizationSession

    headline = {"tone": "good", "sentence": "3 times faster, with no measured loss"}
    verdict = {"outcome": "improved", "reason": "Faster.", "headline": headline}
    criteria, now = Criteria().model_dump(mode="json"), timezone.now()
    rows = [
        OptimizationSession(
            team=team,
            version=versions[number % len(versions)],
            dataset=dataset,
            criteria_body=criteria,
            status="completed",
            outcome="improved",
            verdict=verdict,
            plan={"summary": "x" * 4000, "candidates": [], "omitted": []},
            speedup=3.0 + number % 700 / 100,
            size_ratio=4.0,
            created_at=now - timedelta(minutes=number),
            finished_at=now - timedelta(minutes=number),
        )
        for number in range(many)
    ]
    return list(OptimizationSession.objects.bulk_create(rows, batch_size=2000))


def _judged(sessions: list[Any]) -> None:
    """Each gets a candidate that was selected, and its report."""
    from apps.optimization.models import Candidate, EvaluationReport, SessionStep

    common = {"title": "int8", "technique": "onnx-static-int8", "predicted": {}, "reason": ""}
    candidates = [Candidate(session=row, key="c01", status="selected", **common) for row in sessions]
    Candidate.objects.bulk_create(candidates, batch_size=2000)
    measured = {"speedup": 3.0, "size_ratio": 4.0, "metric_drop": 0.0, "candidate_p50_ms": 1.0, "candidate_metric": 90}
    steps = [SessionStep(session=row, key="c01/evaluate", kind="evaluate", status="completed") for row in sessions]
    SessionStep.objects.bulk_create(steps, batch_size=2000)
    made = zip(candidates, steps, strict=True)
    EvaluationReport.objects.bulk_create(
        [EvaluationReport(candidate=one, step=step, verdict="holds", **measured) for one, step in made], batch_size=2000
    )


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
        "API models": "/api/v1/models/",
        "predictions": "/predictions/",
        "storage": "/storage/",
        "audit": "/audit/",
        **ordered(),
    }


def ordered() -> dict[str, str]:
    """The list of sessions in the order of each of its columns, both ways."""
    from apps.optimization.columns import LIST_OF_SESSIONS

    names = [name for one in LIST_OF_SESSIONS.orderings for name in (one, f"-{one}")]
    return {f"sessions by {name}": f"/sessions/?ordering={name}" for name in names}


def in_turns(small: Any, small_address: str, large: Any, large_address: str) -> tuple[float, float]:
    """The median times of both in ms."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for spent, client, address in ((times[0], small, small_address), (times[1], large, large_address)):
            begun = time.perf_counter()
            answer = client.get(address)
            spent.append(1000 * (time.perf_counter() - begun))
            assert answer.status_code == 200, f"{address}: {answer.status_code}"
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


def _gather_statistics() -> None:
    """What PostgreSQL does by itself within a minute of so many new rows."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
